"""Registry of transports: the URL's scheme chooses one. Nothing else looks at the URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pkgutil import resolve_name

from feedback_app.mailing.transports.base import Transport
from feedback_app.mailing.transports.results import TransportRefused

URL_FORMS = (
    "must be smtp://host:port, smtp+starttls://user:password@host:port, smtps://… or outbox:FOLDER "
    "(signs in a password are written as in URLs: %23 for #)"
)
# Scheme to class. A class is imported when its scheme is used.
TRANSPORTS = {
    "outbox": "feedback_app.mailing.transports.outbox:OutboxTransport",
    "smtp": "feedback_app.mailing.transports.smtp_pool:SmtpPool",
    "smtp+starttls": "feedback_app.mailing.transports.smtp_pool:SmtpPool",
    "smtps": "feedback_app.mailing.transports.smtp_pool:SmtpPool",
}


def register(scheme: str, transport: str) -> None:
    """Register a transport for a scheme, as `package.module:Class`."""
    TRANSPORTS[scheme] = transport


def check_url(url: str) -> None:
    """Raise ValueError for a URL that no transport accepts. The message does not quote it: it may hold a password."""
    transport = _transport_class(url)
    if transport is None or not url.isprintable() or not transport.accepts(url):
        raise ValueError(URL_FORMS)


def make_transport(url: str, connections: int = 1) -> Transport:
    """Return the transport of a URL, with at most so many connections; it connects to nothing yet.

    Raises TransportRefused.
    """
    transport = _transport_class(url)
    if transport is None:
        raise TransportRefused(URL_FORMS)
    return transport(url, connections)


@contextmanager
def open_transport(url: str, connections: int = 1) -> Iterator[Transport]:
    """Yield the transport of a URL and close it at the end. Raises TransportRefused."""
    transport = make_transport(url, connections)
    try:
        yield transport
    finally:
        transport.close()


def _transport_class(url: str) -> type[Transport] | None:
    name = TRANSPORTS.get(url.partition(":")[0])
    return resolve_name(name) if name else None
