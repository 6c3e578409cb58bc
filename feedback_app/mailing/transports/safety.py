"""Checks before any letter is sent: the links in letters are keys, so neither site nor transport may expose them."""

from urllib.parse import urlsplit

from feedback_app.config import Settings, is_loopback
from feedback_app.mailing.transports.registry import make_transport
from feedback_app.mailing.transports.results import TransportRefused


def is_site_unencrypted(settings: Settings) -> bool:
    """Return whether the links to preferences would cross a network unencrypted (RFC 8058, 3.1, asks for https)."""
    site = urlsplit(settings.site_url)
    return site.scheme != "https" and not is_loopback(site.hostname or "")


def check_site(settings: Settings) -> None:
    """Raise TransportRefused if others could read the letters, or the links in them, on their way.

    Letters that only go to a folder of this machine are let through. Connects to nothing.
    """
    transport = make_transport(settings.smtp_url)
    if is_site_unencrypted(settings) and transport.folder is None:
        message = (
            f"{settings.site_url} is not https: the links in letters would travel in the open. "
            "Set UNDISCLOSED_SITE_URL to the shop's https address"
        )
        raise TransportRefused(message)
