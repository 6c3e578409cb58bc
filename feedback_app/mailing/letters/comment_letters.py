"""The letters to people who comment: may we tell you of answers, here they are, here is the link to your comments."""

import json
from datetime import datetime

from sqlalchemy.orm import Session

from feedback_app.comments.markup.sanitizer import visible_text
from feedback_app.comments.models import Comment, Following, Thread
from feedback_app.comments.notifications import still_wanted, take_unsent
from feedback_app.customers.models import Customer, LetterFormat
from feedback_app.customers.services import Person
from feedback_app.customers.topics import Topic
from feedback_app.i18n import marked, said
from feedback_app.letter_queue import LetterRequest, NotWanted
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.composer import LetterContext, single_letter
from feedback_app.mailing.text.quoting import quoted, shortened
from feedback_app.security.link_lifetimes import LINK_DAYS, sign_link
from feedback_app.security.tokens import Claim, Purpose

CONFIRM_SUBJECT = marked("Answers to a comment at %(shop)s?")
ONE_SUBJECT = marked("Answers to your comment on %(title)s")
ANSWERS_SUBJECT = marked("Answers to your comments")
OWN_SUBJECT = marked("Your comments at %(shop)s")


def confirm_answers(
    session: Session, desk: LetterContext, reader: Person, request: LetterRequest, *, now: datetime
) -> Letter:
    """May we tell you of answers? It names nobody: whoever typed the address may not own it. Raises NotWanted."""
    following = session.get(Following, request.about)
    if following is None or (following.confirmed_at and not following.stopped_at):
        message = "confirmed already, or gone"
        raise NotWanted(message)
    thread = session.get_one(Thread, following.thread_id)
    return single_letter(
        desk,
        reader._replace(name=None),
        template="confirm_answers",
        subject=said(CONFIRM_SUBJECT, desk.language_of(reader)) % {"shop": desk.settings.shop_name},
        message_id=desk.message_id("confirm answers", request.id),
        headers=[("Auto-Submitted", "auto-generated")],
        values={
            "title": quoted(thread.title),
            "days": LINK_DAYS[Purpose.CONFIRM_ANSWERS],
            "confirm_link": _link(desk, Claim(Purpose.CONFIRM_ANSWERS, following.id), now),
        },
        form=LetterFormat.HTML,
        now=now,
    )


def answers(session: Session, desk: LetterContext, reader: Person, request: LetterRequest, *, now: datetime) -> Letter:
    """The answers that somebody has not been told about, thread by thread, each with its stop. Raises NotWanted.

    What was taken for the letter is noted with its request, so that it is the same when it has to be tried again.
    """
    if request.details is None:
        request.details = json.dumps([notice.id for notice in take_unsent(session, reader.id, now=now)])
        session.flush()
    threads: dict[int, dict[str, object]] = {}
    told: list[dict[str, str]]
    for following, comment, thread in still_wanted(session, reader.id, json.loads(request.details), now=now):
        about = threads.setdefault(
            following.id,
            {
                "title": quoted(thread.title),
                "link": f"{desk.settings.site_url}{thread.path}",
                "stop_link": _link(desk, Claim(Purpose.STOP_ANSWERS, following.id), now),
                "answers": [],
            },
        )
        told = about["answers"]  # type: ignore[assignment]
        told.append(_told(desk, comment, thread))
    if not threads:
        message = "nothing to tell any more"
        raise NotWanted(message)
    only = next(iter(threads.values())) if len(threads) == 1 else None
    stop = only["stop_link"] if only else desk.unsubscribe_link(reader.id, Topic.REPLIES, now)
    customer, language = session.get_one(Customer, reader.id), desk.language_of(reader)
    return single_letter(
        desk,
        reader,
        template="answers",
        subject=said(ONE_SUBJECT, language) % only if only else said(ANSWERS_SUBJECT, language),
        message_id=desk.message_id("answers", request.id),
        headers=[
            ("List-Unsubscribe", f"<{stop}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-Id", f"<{Topic.REPLIES}.{desk.domain}>"),
        ],
        values={
            "name": reader.name or "friend",
            "threads": list(threads.values()),
            "preferences_link": desk.preferences_link(reader.id, now, reader.series),
        },
        form=customer.format,
        now=now,
    )


def own_comments(desk: LetterContext, reader: Person, request: LetterRequest, *, now: datetime) -> Letter:
    """The link to the comments that came with an address."""
    return single_letter(
        desk,
        reader._replace(name=None),
        template="own_comments",
        subject=said(OWN_SUBJECT, desk.language_of(reader)) % {"shop": desk.settings.shop_name},
        message_id=desk.message_id("own comments", request.id),
        headers=[("Auto-Submitted", "auto-replied")],
        values={
            "days": LINK_DAYS[Purpose.OWN_COMMENTS],
            "own_link": _link(desk, Claim(Purpose.OWN_COMMENTS, reader.id), now),
        },
        form=LetterFormat.HTML,
        now=now,
    )


def _told(desk: LetterContext, comment: Comment, thread: Thread) -> dict[str, str]:
    return {
        "author": quoted(comment.author),
        "words": shortened(visible_text(comment.html)),
        "link": f"{desk.settings.site_url}{thread.path}#comment-{comment.id}",
    }


def _link(desk: LetterContext, claim: Claim, now: datetime) -> str:
    page = {Purpose.CONFIRM_ANSWERS: "confirm", Purpose.STOP_ANSWERS: "stop", Purpose.OWN_COMMENTS: "yours"}
    token = sign_link(desk.signer, claim, now=now)
    return f"{desk.settings.site_url}/feedback/comments/{page[claim.purpose]}/{token}"
