"""Letters: what each kind of letter says, and its bytes (MIME, DKIM).

This package makes letters. It neither decides who gets one nor sends it. `kinds` has a function for each kind of
single letter; `mailing_letters` makes the letters of a mailing.
"""
