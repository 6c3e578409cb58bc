"""Ways a letter leaves: SMTP, or a folder. Each takes one `Letter` and tells what became of it.

SMTP is known here and nowhere else. The URL's scheme chooses the transport, in `base`.
"""
