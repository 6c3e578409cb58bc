"""For other mailers: whom they may write to about what, asked with a key."""
