"""What comes back: reading delivery reports and complaints, and what they change.

Also reads a mail server's log, to settle letters whose fate is unknown.
"""
