"""The owner's side: signing in, moderation, the shop's own pages."""
