"""The letters to the owner about their own house: what waits for them, and who signs in how."""

import json
from datetime import datetime
from urllib.parse import quote

from sqlalchemy.orm import Session

from feedback_app.comments.decisions import Decision
from feedback_app.comments.models import Comment, Thread
from feedback_app.comments.moderation_mail import count_waiting, still_waiting
from feedback_app.customers.models import LetterFormat
from feedback_app.customers.services import Person
from feedback_app.i18n import ENGLISH
from feedback_app.letter_queue import LetterRequest, NotWanted
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.composer import LetterContext, single_letter
from feedback_app.mailing.text.quoting import quoted, shortened
from feedback_app.security.link_lifetimes import LINK_DAYS, sign_link
from feedback_app.security.tokens import Claim, Purpose

AUTOMATIC = ("Auto-Submitted", "auto-generated")
# What Flask-Security would say, by its template, in the house's words.
CHANGED = {"change_notice": "has a new password"}


def comment_waits(
    session: Session, desk: LetterContext, owner: Person, request: LetterRequest, *, now: datetime
) -> Letter:
    """One comment waits, with a link for each thing that can be decided. Raises NotWanted."""
    waiting = still_waiting(session, [request.about or 0])
    if not waiting:
        message = "the comment does not wait any more"
        raise NotWanted(message)
    title = quoted(waiting[0][1].title)
    return _waits(desk, owner, waiting, count=1, subject=f"A comment waits: {title}", request=request, now=now)


def comments_wait(
    session: Session, desk: LetterContext, owner: Person, request: LetterRequest, *, now: datetime
) -> Letter:
    """Many comments wait: the first of them, each with its links, and how many there are. Raises NotWanted."""
    waiting = still_waiting(session, json.loads(request.details or "[]"))
    count = count_waiting(session)
    if not waiting:
        message = "these comments don't wait any more"
        raise NotWanted(message)
    subject = f"{count} comments wait" if count > 1 else "1 comment waits"
    return _waits(desk, owner, waiting, count=count, subject=subject, request=request, now=now)


def _waits(
    desk: LetterContext,
    owner: Person,
    waiting: list[tuple[Comment, Thread]],
    *,
    count: int,
    subject: str,
    request: LetterRequest,
    now: datetime,
) -> Letter:
    return single_letter(
        desk,
        owner,
        template="comments_wait",
        subject=subject,
        message_id=desk.message_id(request.kind, request.id),
        headers=[AUTOMATIC],
        values={
            "comments": [_told(desk, comment, thread, now) for comment, thread in waiting],
            "more": max(0, count - len(waiting)),
            "days": LINK_DAYS[Purpose.MODERATE],
            "queue_link": f"{desk.settings.site_url}/feedback/admin/",
        },
        form=LetterFormat.HTML,
        now=now,
        language=ENGLISH,
    )


def _told(desk: LetterContext, comment: Comment, thread: Thread, now: datetime) -> dict[str, object]:
    return {
        "author": quoted(comment.author),
        "title": quoted(thread.title),
        "post_link": f"{desk.settings.site_url}{quote(thread.path)}",
        "words": shortened(comment.text),
        "reasons": [quoted(reason) for reason in comment.reasons],
        "links": [(decision.capitalize(), _link(desk, comment, decision, now)) for decision in Decision],
    }


def _link(desk: LetterContext, comment: Comment, decision: Decision, now: datetime) -> str:
    token = sign_link(desk.signer, Claim(Purpose.MODERATE, comment.id, decision.code), now=now)
    return f"{desk.settings.site_url}/feedback/moderate/{token}"


def sign_in_notice(desk: LetterContext, owner: Person, request: LetterRequest, *, now: datetime) -> Letter:
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
        language=ENGLISH,
    )
