"""Where letters may send people to: https, because their links are keys (RFC 8058, section 3.1); and through what."""

from urllib.parse import urlsplit

from feedback_app.config import OUTBOX, Settings, is_loopback
from feedback_app.mailing.transports.base import opened
from feedback_app.mailing.transports.results import TransportRefused


def in_the_open(settings: Settings) -> bool:
    """Whether links to people's choices would travel a network unencrypted."""
    site = urlsplit(settings.site_url)
    return site.scheme != "https" and not is_loopback(site.hostname or "")


def check_site(settings: Settings) -> None:
    """Refuse to send letters that everybody on the way can read, or with links that they can. Raises TransportRefused.

    Letters that only go to a folder of this machine are let through.
    """
    check_transport(settings)
    if in_the_open(settings) and not settings.smtp_url.startswith(OUTBOX):
        message = (
            f"{settings.site_url} is not https: the links in letters would travel in the open. "
            "Set UNDISCLOSED_SITE_URL to the shop's https address"
        )
        raise TransportRefused(message)


def check_transport(settings: Settings) -> None:
    """Refuse the way to the mail server that every worker would refuse. Raises TransportRefused; calls nobody."""
    with opened(settings.smtp_url):
        pass
