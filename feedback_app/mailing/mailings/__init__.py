"""A mailing's life: its file, hold, cancelling, audience, digests, canary, and the alarms of what needs a person."""
