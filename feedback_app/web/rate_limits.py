"""Rate limits: how much may come from one network, or for one thread, in a while."""

import hmac
import ipaddress
import logging

from flask import Flask, request
from flask_limiter import Limiter
from limits import RateLimitItem
from limits.errors import StorageError

from feedback_app import clock
from feedback_app.config import Settings, Switch
from feedback_app.security.tokens import Signer

log = logging.getLogger(__name__)


def client_network() -> str:
    """The network that a request comes from: a person moves within it, and whoever floods has many addresses in it."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    length = 24 if address.version == 4 else 56  # noqa: PLR2004 - what providers give to one customer
    return str(ipaddress.ip_network((address, length), strict=False))


class RateLimits:
    """How much comes from one network, or for one thread, in a while; kept in memory or in Redis."""

    def __init__(self, app: Flask, settings: Settings, signer: Signer) -> None:
        """Count for an app. With the limits off, everything is let through."""
        self._key = signer.identifier_key
        self._limiter = Limiter(
            self.client_network_hash,
            storage_uri=settings.limits_url,
            storage_options={"wrap_exceptions": True},
            strategy="moving-window",
            enabled=settings.rate_limits is Switch.ON,
        )
        self._limiter.init_app(app)

    def admit(self, limit: RateLimitItem, *who: str) -> bool:
        """Whether there may be one more of this, which is counted. When the counter does not answer, there may."""
        if not self._limiter.enabled:
            return True
        try:
            return self._limiter.limiter.hit(limit, *who)
        except StorageError:
            log.warning("The counter of the rate limits does not answer: nothing is limited until it does.")
            return True

    def client_network_hash(self) -> str:
        """Return a keyed hash of the request's network and of the day (UTC).

        Where requests are counted, in Redis say, nobody can read which network a reader used, or recognise it tomorrow.
        """
        text = f"network/{clock.now().date()}/{client_network()}"
        return hmac.digest(self._key, text.encode(), "sha256").hex()[:32]
