"""The letters to the owner about their own house: who signs in how."""

import json
from datetime import datetime

from feedback_app.customers.models import LetterFormat
from feedback_app.customers.services import Person
from feedback_app.letter_requests import LetterRequest
from feedback_app.mailing.letter import Letter
from feedback_app.mailing.messages import Desk, single_letter

AUTOMATIC = ("Auto-Submitted", "auto-generated")
# What Flask-Security would say, by its template, in the house's words.
CHANGED = {"change_notice": "has a new password"}


def sign_in_notice(desk: Desk, owner: Person, request: LetterRequest, *, now: datetime) -> Letter:
    """Something about signing in has changed. It has no link: whoever reads it knows the way, and nobody is led."""
    said = json.loads(request.details or "{}")
    what = CHANGED.get(said.get("what", ""))
    who = str(said.get("who", "somebody"))
    subject = f"{who} {what}" if what else f"{who}: {said.get('subject', 'a change')}"
    return single_letter(
        desk,
        owner,
        template="sign_in_notice",
        subject=subject,
        message_id=desk.message_id("sign-in notice", request.id),
        headers=[AUTOMATIC],
        values={"said": subject, "who": who, "at": f"{request.asked_at:%Y-%m-%d %H:%M}"},
        form=LetterFormat.HTML,
        now=now,
    )
