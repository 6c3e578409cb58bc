"""What a comment form brings along, signed: when it was opened; and the work that a browser can do for a comment."""

import hashlib
import json
import secrets
from datetime import UTC, datetime, timedelta

import altcha
from itsdangerous import BadSignature, URLSafeSerializer

from feedback_app.security.tokens import Signer

SHORTEST_OPEN = timedelta(seconds=3)
LONGEST_OPEN = timedelta(hours=24)
# About a second of a browser's work: 256 derivations on average, of 5,000 rounds each.
ROUNDS = 5_000
PREFIX = "00"
WORK_TIME = timedelta(hours=1)


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


def make_work(signer: Signer, comment: int, *, now: datetime) -> str:
    """The work that settles what is suspicious about a comment, as JSON for the browser (ALTCHA, version 2)."""
    challenge = altcha.create_challenge(
        "PBKDF2/SHA-256",
        ROUNDS,
        key_prefix=PREFIX,
        # Not the library's own end of time, which can't be told what time it is.
        data={"comment": comment, "until": int((now + WORK_TIME).timestamp())},
        hmac_secret=signer.work_key,
    )
    return json.dumps(challenge.to_dict())


def verified_work(signer: Signer, payload: str, *, now: datetime) -> int | None:
    """The number of the comment for which work was done, or None when it was not, or not in time."""
    if not altcha.verify_solution(payload, signer.work_key).verified:
        return None
    said = altcha.Payload.from_base64(payload).challenge.parameters.data or {}
    return int(said["comment"]) if said["until"] >= now.timestamp() else None


def _serializer(signer: Signer) -> URLSafeSerializer:
    # itsdangerous signs with the last key; `session_keys` has the current one first.
    return URLSafeSerializer(signer.session_keys[::-1], salt="comment form")
