"""How long each kind of signed link works: one table, read wherever a link is signed or its lifetime is told."""

from datetime import datetime

from feedback_app.security.tokens import Claim, Purpose, Signer

# In whole days: a link works until the end of its last day (UTC).
LINK_DAYS = {
    Purpose.PREFERENCES: 30,
    Purpose.UNSUBSCRIBE: 730,
    Purpose.CONFIRM_ANSWERS: 7,
    Purpose.STOP_ANSWERS: 730,
    Purpose.OWN_COMMENTS: 1,
    Purpose.MODERATE: 7,
    Purpose.SUBSCRIBE: 7,
    Purpose.CHANGE_FROM: 7,
    Purpose.CHANGE_TO: 7,
}


def sign_link(signer: Signer, claim: Claim, *, now: datetime) -> str:
    """Return the token of a link that works for as long as its purpose allows."""
    return signer.sign(claim, now=now, days=LINK_DAYS[claim.purpose])
