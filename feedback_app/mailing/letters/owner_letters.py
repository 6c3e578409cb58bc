"""Letters to the owner: a copy of a mailing, a mailing that was halted, comments that wait, changes of signing in."""

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
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.mailing_letters import MailingLetters
from feedback_app.mailing.letters.single_letter import recipient_of, single_letter
from feedback_app.mailing.mailings.services import counts
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import LEFT_STATES, DeliveryState, Mailing, MailingState
from feedback_app.mailing.text.quoting import excerpt, without_addresses
from feedback_app.plurals import counted
from feedback_app.security.link_lifetimes import LINK_DAYS, sign_link
from feedback_app.security.tokens import Claim, Purpose

AUTOMATIC = ("Auto-Submitted", "auto-generated")
# The subject for a change, by the name of the template that Flask-Security would use.
CHANGES = {"change_notice": "has a new password"}


def mailing_copy(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return a mailing's letter to the owner, who sees it before any customer does. Raises NotWanted."""
    owner = recipient_of(session, context, request)
    mailing = session.get(Mailing, request.about)
    if mailing is None or mailing.state is not MailingState.SENDING:
        message = "the mailing has been stopped"
        raise NotWanted(message)
    source = MailingSource(mailing.slug, mailing.topic, mailing.subject, mailing.nameless, mailing.body)
    return MailingLetters(context, source, None).letter(owner, LetterFormat.HTML, now=now)


def mailing_halted(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the letter about a mailing that was halted, and why. Raises NotWanted."""
    owner = recipient_of(session, context, request)
    mailing = session.get(Mailing, request.about)
    if mailing is None or mailing.state is not MailingState.HALTED:
        message = "the mailing goes on, or is cancelled"
        raise NotWanted(message)
    found = counts(session, mailing)
    return single_letter(
        context,
        owner,
        template="halted",
        subject=f"{mailing.slug} has stopped",
        message_id=context.message_id("halted", request.id),
        headers=[AUTOMATIC],
        values={
            "slug": mailing.slug,
            "reason": mailing.reason or "why was not noted",
            "left": counted(sum(found[state] for state in LEFT_STATES), "letter"),
            "waiting": found[DeliveryState.QUEUED] + found[DeliveryState.DEFERRED],
            "postal": None,
        },
        now=now,
        language=ENGLISH,
    )


def comment_waits(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the letter about one waiting comment, with a link for each decision. Raises NotWanted."""
    owner = recipient_of(session, context, request)
    waiting = still_waiting(session, [request.about or 0])
    if not waiting:
        message = "the comment does not wait any more"
        raise NotWanted(message)
    title = without_addresses(waiting[0][1].title)
    return _waiting_letter(
        context, owner, waiting, count=1, subject=f"A comment waits: {title}", request=request, now=now
    )


def comments_wait(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the letter about many waiting comments: the first ones, and how many there are. Raises NotWanted."""
    owner = recipient_of(session, context, request)
    waiting = still_waiting(session, json.loads(request.details or "[]"))
    count = count_waiting(session)
    if not waiting:
        message = "these comments don't wait any more"
        raise NotWanted(message)
    subject = f"{count} comments wait" if count > 1 else "1 comment waits"
    return _waiting_letter(context, owner, waiting, count=count, subject=subject, request=request, now=now)


def _waiting_letter(
    context: LetterContext,
    owner: Person,
    waiting: list[tuple[Comment, Thread]],
    *,
    count: int,
    subject: str,
    request: LetterRequest,
    now: datetime,
) -> Letter:
    return single_letter(
        context,
        owner,
        template="comments_wait",
        subject=subject,
        message_id=context.message_id(request.kind, request.id),
        headers=[AUTOMATIC],
        values={
            "comments": [_waiting_comment(context, comment, thread, now) for comment, thread in waiting],
            "more": max(0, count - len(waiting)),
            "days": LINK_DAYS[Purpose.MODERATE],
            "queue_link": f"{context.settings.site_url}/feedback/admin/",
        },
        now=now,
        language=ENGLISH,
    )


def _waiting_comment(context: LetterContext, comment: Comment, thread: Thread, now: datetime) -> dict[str, object]:
    return {
        "author": without_addresses(comment.author),
        "title": without_addresses(thread.title),
        "post_link": f"{context.settings.site_url}{quote(thread.path)}",
        "words": excerpt(comment.text),
        "reasons": [without_addresses(reason) for reason in comment.reasons],
        "links": [(decision.capitalize(), _link(context, comment, decision, now)) for decision in Decision],
    }


def _link(context: LetterContext, comment: Comment, decision: Decision, now: datetime) -> str:
    token = sign_link(context.signer, Claim(Purpose.MODERATE, comment.id, decision.code), now=now)
    return f"{context.settings.site_url}/feedback/moderate/{token}"


def sign_in_notice(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the letter about a change of signing in.

    It has no link: the owner knows the way, and a forged copy with a link must not look usual.
    """
    owner = recipient_of(session, context, request)
    details = json.loads(request.details or "{}")
    change = CHANGES.get(details.get("what", ""))
    user_name = str(details.get("who", "somebody"))
    subject = f"{user_name} {change}" if change else f"{user_name}: {details.get('subject', 'a change')}"
    return single_letter(
        context,
        owner,
        template="sign_in_notice",
        subject=subject,
        message_id=context.message_id("sign-in notice", request.id),
        headers=[AUTOMATIC],
        values={"change": subject, "who": user_name, "at": f"{request.asked_at:%Y-%m-%d %H:%M}"},
        now=now,
        language=ENGLISH,
    )
