"""What each kind of letter says, and its bytes: MIME, DKIM, return addresses.

Makes letters; neither decides who gets one nor sends it.
"""
