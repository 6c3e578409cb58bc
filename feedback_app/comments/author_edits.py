"""One's own comments: for a quarter of an hour by the browser that sent them, later by a link that is mailed."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.audit_log import READER, Act, AuditLine, forget_words, note
from feedback_app.comments.markup.sanitizer import clean_text, comment_html, without_addresses
from feedback_app.comments.models import CHANGEABLE, Comment, CommentStatus, Thread
from feedback_app.comments.services import change_status, change_text
from feedback_app.comments.spam.verdicts import (
    NOTHING_KNOWN,
    PROVABLE,
    PROVEN,
    Evidence,
    Rules,
    find_repeat,
    judge_edit,
    judge_text,
    repeat_hash,
    settled_by_work,
)
from feedback_app.customers.addresses import Address
from feedback_app.customers.services import find_customer, queue_link_letter
from feedback_app.letter_queue import LetterKind

CHANGE_TIME = timedelta(minutes=15)


def may_change(comment: Comment, sent: Sequence[int], *, now: datetime) -> bool:
    """Whether the browser that sent these comments may still change this one."""
    return comment.id in sent and comment.status in CHANGEABLE and now - comment.created_at <= CHANGE_TIME


def sent_in_thread(session: Session, thread: Thread, sent: Sequence[int]) -> list[Comment]:
    """A browser's comments in a thread, oldest first."""
    query = select(Comment).where(Comment.id.in_(sent), Comment.thread_id == thread.id, Comment.status.in_(CHANGEABLE))
    return list(session.scalars(query.order_by(Comment.id))) if sent else []


def sent_and_changeable(session: Session, sent: Sequence[int], *, now: datetime) -> list[tuple[Comment, Thread]]:
    """A browser's comments that it may still change, with their threads, oldest first."""
    query = select(Comment, Thread).join(Thread, Thread.id == Comment.thread_id).where(Comment.id.in_(sent))
    if not sent:
        return []
    rows = session.execute(query.order_by(Comment.id))
    return [(comment, thread) for comment, thread in rows if may_change(comment, sent, now=now)]


def comments_of_customer(session: Session, customer: int) -> list[tuple[Comment, Thread]]:
    """The comments that came with somebody's address, with their threads, oldest first."""
    query = (
        select(Comment, Thread)
        .join(Thread, Thread.id == Comment.thread_id)
        .where(Comment.customer_id == customer, Comment.status.in_(CHANGEABLE))
        .order_by(Comment.id)
    )
    return [(comment, thread) for comment, thread in session.execute(query)]


def request_comments_link(session: Session, address: Address, *, now: datetime, quiet: bool) -> bool:
    """Note that somebody asked for a link to the comments of an address; none is sent where there are none.

    With `quiet`, an address that was asked for a moment ago gets no second letter, nor one after the sixth of a day.
    Returns whether one is sent.
    """
    customer = find_customer(session, address)
    if customer is None or not comments_of_customer(session, customer.id):
        return False
    return queue_link_letter(session, LetterKind.OWN_COMMENTS, customer, now=now, quiet=quiet)


def is_other_text(comment: Comment, text: str) -> bool:
    """Whether these words are other than a comment's own."""
    return without_addresses(clean_text(text)) != comment.text


def change_comment(
    session: Session, comment: Comment, text: str, *, rules: Rules, now: datetime, evidence: Evidence = NOTHING_KNOWN
) -> None:
    """Save its author's new text for a comment, judged like a new one: an approved comment may wait again."""
    if not is_other_text(comment, text):
        return
    text = clean_text(text)
    verdict = judge_edit(
        comment,
        text_reasons=judge_text(author=comment.author, text=text, html=comment_html(text), rules=rules),
        repeated=find_repeat(session, repeat_hash(text), now=now, besides=comment),
        rules=rules,
        evidence=evidence,
    )
    change_text(session, comment, text, now=now)
    comment.reasons = verdict.reasons
    if comment.status is not verdict.status:
        change_status(session, [comment.id], verdict.status, now=now)
    _note(session, Act.CHANGED, comment, verdict.summary, now=now)


def delete_comment(session: Session, comment: Comment, *, now: datetime) -> None:
    """Its author takes a comment back: the words go; the row stays until it is purged, so that answers keep a place."""
    change_status(session, [comment.id], CommentStatus.DELETED, now=now)
    comment.text = comment.html = ""
    comment.repeat_hash = None
    forget_words(session, AuditLine.comment_id == comment.id)
    _note(session, Act.TAKEN_BACK, comment, "its words are gone", now=now)


def accept_work(session: Session, comment: Comment, *, now: datetime) -> bool:
    """A browser has worked for its comment: what work settles is settled. Returns whether it is shown now."""
    if comment.status is CommentStatus.PENDING and settled_by_work(comment.reasons):
        comment.reasons = [*comment.reasons, PROVEN]
        change_status(session, [comment.id], CommentStatus.APPROVED, now=now)
    elif comment.status is CommentStatus.PENDING and PROVABLE.intersection(comment.reasons):
        comment.reasons = [*(reason for reason in comment.reasons if reason not in PROVABLE), PROVEN]
    return comment.status is CommentStatus.APPROVED


def _note(session: Session, act: Act, comment: Comment, verdict: str, *, now: datetime) -> None:
    """A line that names nobody and keeps no words."""
    title = session.get_one(Thread, comment.thread_id).title
    about = f"their comment {comment.id} on {title}: {verdict}"
    note(session, READER, act, about, now=now, comment_id=comment.id, thread_id=comment.thread_id)
