"""The seal of a comment form: when it was opened, signed."""

import hashlib
import json
import secrets
from datetime import UTC, datetime, timedelta

from itsdangerous import BadSignature, URLSafeSerializer

from feedback_app.security.tokens import Signer

SHORTEST_OPEN = timedelta(seconds=3)
LONGEST_OPEN = timedelta(hours=24)


def seal_form(signer: Signer, *, now: datetime) -> str:
    """A signed note of when a form was opened, which no other form has."""
    return _serializer(signer).dumps([int(now.timestamp() * 1000), secrets.token_urlsafe(9)])


def opened_at(signer: Signer, seal: str) -> datetime | None:
    """When a form was opened, or None when its note is missing or not ours."""
    try:
        moment, _ = _serializer(signer).loads(seal)
        return datetime.fromtimestamp(moment / 1000, UTC)
    except (BadSignature, ValueError, TypeError, OverflowError, OSError):
        return None


def form_hash(*parts: object) -> bytes:
    """What the same form, sent twice with the same words, has in common."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).digest()


def _serializer(signer: Signer) -> URLSafeSerializer:
    # itsdangerous signs with the last key; `session_keys` has the current one first.
    return URLSafeSerializer(signer.session_keys[::-1], salt="comment form")
