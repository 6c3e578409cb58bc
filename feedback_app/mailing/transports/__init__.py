"""Transports: the ways in which a letter leaves, over SMTP or into a folder.

SMTP is known only here. `registry` chooses the transport by its URL's scheme; nothing else looks at the URL. A new
transport is one module with a subclass of `base.Transport`, and one line in the registry.
"""
