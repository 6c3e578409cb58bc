"""Undisclosed: comments, customers' preferences, the blog's publishing, and a mailer with one reader a letter.

Modules here wire the packages together (`app`, `wsgi`, `cli`, `serve`) or are used by all of them (`config`, `clock`,
`i18n`, `console`, `audit_log`, `letter_queue`, `heartbeats`, `plurals`). The shop's rules live in the packages.
"""
