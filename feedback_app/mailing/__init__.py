"""The mailer: mailings, their letters, the check before the wire, and delivery.

Nothing in this package can address one message to two people: a transport takes one `Letter`, a `Letter` one address.
"""
