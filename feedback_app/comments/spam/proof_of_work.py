"""Proof of work: what a browser can do, with ALTCHA, to settle suspicions about a comment it sent."""

import json
from datetime import datetime, timedelta

import altcha

from feedback_app.security.tokens import Signer

# About a second of a browser's work: 256 derivations on average, of 5,000 rounds each.
ROUNDS = 5_000
PREFIX = "00"
WORK_TIME = timedelta(hours=1)


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
