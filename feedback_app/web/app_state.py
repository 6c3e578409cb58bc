"""What every view needs: the running app's settings, store, signer and rate limits."""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.security.tokens import Signer
from feedback_app.web.rate_limits import RateLimits


@dataclass(frozen=True, slots=True)
class AppState:
    """What a view needs besides its request."""

    settings: Settings
    store: Store
    signer: Signer
    limits: RateLimits


def app_state() -> AppState:
    """Return the state of the app that answers this request."""
    return cast("AppState", current_app.extensions["undisclosed"])
