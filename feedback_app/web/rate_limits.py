"""Rate limits: how many requests of a kind are admitted from one network, for one thread or for one key."""

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
    """Return the network of a request (a /24 of IPv4, a /56 of IPv6): one sender can have many addresses in it."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    length = 24 if address.version == 4 else 56  # noqa: PLR2004 - what a provider gives to one customer
    return str(ipaddress.ip_network((address, length), strict=False))


class RateLimits:
    """Counts requests in a moving window, in memory or in Redis. Views ask `admit`; no limit applies by itself."""

    def __init__(self, app: Flask, settings: Settings, signer: Signer) -> None:
        """Count for an app. With `rate_limits` off, everything is admitted."""
        self._key = signer.identifier_key
        self._limiter = Limiter(
            self.client_network_hash,
            storage_uri=settings.limits_url,
            storage_options={"wrap_exceptions": True},
            strategy="moving-window",
            enabled=settings.rate_limits is Switch.ON,
        )
        self._limiter.init_app(app)

    def admit(self, limit: RateLimitItem, *key: str) -> bool:
        """Count one more request under a key, and return whether the limit admits it.

        When Redis does not answer, every request is admitted.
        """
        if not self._limiter.enabled:
            return True
        try:
            return self._limiter.limiter.hit(limit, *key)
        except StorageError:
            log.warning("The counter of the rate limits does not answer: nothing is limited until it does.")
            return True

    def client_network_hash(self) -> str:
        """Return a keyed hash of the request's network and of the day (UTC).

        The counters, which may be in Redis, so reveal no reader's network, and a reader's hash is another one tomorrow.
        """
        text = f"network/{clock.now().date()}/{client_network()}"
        return hmac.digest(self._key, text.encode(), "sha256").hex()[:32]
