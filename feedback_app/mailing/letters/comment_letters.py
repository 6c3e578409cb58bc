"""Letters to people who comment: the answers to their comments, and links to what they wrote."""

import json
from datetime import datetime

from sqlalchemy.orm import Session

from feedback_app.comments.markup.sanitizer import visible_text
from feedback_app.comments.models import Comment, Following, Thread
from feedback_app.comments.notifications import still_wanted, take_unsent
from feedback_app.customers.models import Customer
from feedback_app.customers.topics import Topic
from feedback_app.i18n import marked, said
from feedback_app.letter_queue import LetterRequest, NotWanted
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.single_letter import recipient_of, single_letter, unnamed_recipient_of
from feedback_app.mailing.text.quoting import excerpt, without_addresses
from feedback_app.security.link_lifetimes import LINK_DAYS, sign_link
from feedback_app.security.tokens import Claim, Purpose

CONFIRM_SUBJECT = marked("Answers to a comment at %(shop)s?")
ONE_SUBJECT = marked("Answers to your comment on %(title)s")
ANSWERS_SUBJECT = marked("Answers to your comments")
OWN_SUBJECT = marked("Your comments at %(shop)s")


def confirm_answers(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the letter that asks whether its recipient wants to be told of answers. Raises NotWanted.

    It does not name the recipient: the address may have been typed by a person who does not own it.
    """
    recipient = unnamed_recipient_of(session, context, request)
    following = session.get(Following, request.about)
    if following is None or (following.confirmed_at and not following.stopped_at):
        message = "confirmed already, or gone"
        raise NotWanted(message)
    thread = session.get_one(Thread, following.thread_id)
    return single_letter(
        context,
        recipient,
        template="confirm_answers",
        subject=said(CONFIRM_SUBJECT, context.language_of(recipient)) % {"shop": context.settings.shop_name},
        message_id=context.message_id("confirm answers", request.id),
        headers=[("Auto-Submitted", "auto-generated")],
        values={
            "title": without_addresses(thread.title),
            "days": LINK_DAYS[Purpose.CONFIRM_ANSWERS],
            "confirm_link": _link(context, Claim(Purpose.CONFIRM_ANSWERS, following.id), now),
        },
        now=now,
    )


def answers(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the letter with new answers, by thread, with a link to stop each. Raises NotWanted.

    The answers taken for the letter are noted in its request, so that a second try has the same ones.
    """
    recipient = recipient_of(session, context, request)
    if request.details is None:
        request.details = json.dumps([notice.id for notice in take_unsent(session, recipient.id, now=now)])
        session.flush()
    threads: dict[int, dict[str, object]] = {}
    answers_by_thread: dict[int, list[dict[str, str]]] = {}
    for following, comment, thread in still_wanted(session, recipient.id, json.loads(request.details), now=now):
        answers_by_thread.setdefault(following.id, []).append(_answer(context, comment, thread))
        threads[following.id] = {
            "title": without_addresses(thread.title),
            "link": f"{context.settings.site_url}{thread.path}",
            "stop_link": _link(context, Claim(Purpose.STOP_ANSWERS, following.id), now),
            "answers": answers_by_thread[following.id],
        }
    if not threads:
        message = "nothing to tell any more"
        raise NotWanted(message)
    only = next(iter(threads.values())) if len(threads) == 1 else None
    stop = only["stop_link"] if only else context.unsubscribe_link(recipient.id, Topic.REPLIES, now)
    customer, language = session.get_one(Customer, recipient.id), context.language_of(recipient)
    return single_letter(
        context,
        recipient,
        template="answers",
        subject=said(ONE_SUBJECT, language) % only if only else said(ANSWERS_SUBJECT, language),
        message_id=context.message_id("answers", request.id),
        headers=[
            ("List-Unsubscribe", f"<{stop}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-Id", f"<{Topic.REPLIES}.{context.domain}>"),
        ],
        values={
            "name": recipient.name or "friend",
            "threads": list(threads.values()),
            "preferences_link": context.preferences_link(recipient.id, now, recipient.series),
        },
        form=customer.format,
        now=now,
    )


def own_comments(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the letter with a link to the comments that were written under an address."""
    recipient = unnamed_recipient_of(session, context, request)
    return single_letter(
        context,
        recipient,
        template="own_comments",
        subject=said(OWN_SUBJECT, context.language_of(recipient)) % {"shop": context.settings.shop_name},
        message_id=context.message_id("own comments", request.id),
        headers=[("Auto-Submitted", "auto-replied")],
        values={
            "days": LINK_DAYS[Purpose.OWN_COMMENTS],
            "own_link": _link(context, Claim(Purpose.OWN_COMMENTS, recipient.id), now),
        },
        now=now,
    )


def _answer(context: LetterContext, comment: Comment, thread: Thread) -> dict[str, str]:
    """Return what the letter says about one answer."""
    return {
        "author": without_addresses(comment.author),
        "words": excerpt(visible_text(comment.html)),
        "link": f"{context.settings.site_url}{thread.path}#comment-{comment.id}",
    }


def _link(context: LetterContext, claim: Claim, now: datetime) -> str:
    page = {Purpose.CONFIRM_ANSWERS: "confirm", Purpose.STOP_ANSWERS: "stop", Purpose.OWN_COMMENTS: "yours"}
    token = sign_link(context.signer, claim, now=now)
    return f"{context.settings.site_url}/feedback/comments/{page[claim.purpose]}/{token}"
