"""SMTP and the outbox, with servers that behave badly."""
