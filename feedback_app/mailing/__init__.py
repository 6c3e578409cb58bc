"""The mailer: mailings, their letters, the gate, delivery, and bounces.

Nothing in this package can address one message to two people: a transport takes one `Letter`, and a `Letter` has one
recipient.
"""
