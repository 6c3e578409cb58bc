"""A mailing's life: its file, holding and cancelling, the audience, digests, the first letters, and what halts it."""
