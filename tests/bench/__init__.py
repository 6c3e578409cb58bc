"""Side-by-side measurements. They print figures; nothing here can fail because a machine is slow."""
