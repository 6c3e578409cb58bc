"""Telling people about answers to their comments: asked for, confirmed by mail, stopped by one link for each thread.

An address that somebody typed gets one letter which asks whether it wants this, and never another until its owner has
said yes to one. Nobody is told about an answer of their own.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session, aliased

from feedback_app.comments.models import Comment, CommentStatus, ConfirmationAsked, Following, Notice, Thread
from feedback_app.customers.consent import choose, frequencies, not_paused, writable
from feedback_app.customers.digest_schedule import COLLECTED, last_digest
from feedback_app.customers.models import (
    ConsentChannel,
    Customer,
    Frequency,
    Preference,
    Suppression,
)
from feedback_app.customers.topics import Topic
from feedback_app.db.store import advisory_lock
from feedback_app.letter_queue import LetterKind, LetterRequest, queue_letter

# An answer that could not be told of for so long is no news any more.
OLDEST_NEWS = timedelta(days=60)
# In the place of the moment of telling, for what its reader has written.
NO_NEED = datetime(1970, 1, 1, tzinfo=UTC)


def follow(session: Session, thread: int, customer: Customer, *, proven: bool, now: datetime) -> bool:
    """Somebody wants an address to be told about answers in a thread; returns whether its owner has to be asked.

    `proven` says that the address' owner is who wants it: then it is as good as confirmed.
    """
    following = _following(session, thread, customer.id)
    if following is None:
        following = Following(thread_id=thread, customer_id=customer.id, asked_at=now)
        session.add(following)
        session.flush()
    elif following.confirmed_at and not following.stopped_at:
        return False
    if proven:
        confirm_following(session, following, now=now)
        return False
    if session.get(Suppression, customer.fingerprint) or session.get(ConfirmationAsked, customer.fingerprint):
        return False
    session.add(ConfirmationAsked(fingerprint=customer.fingerprint, at=now))
    queue_letter(session, LetterKind.CONFIRM_ANSWERS, customer.id, about=following.id, now=now)
    return True


def confirm_following(session: Session, following: Following, *, now: datetime) -> None:
    """The address' owner says yes: to this thread, and to being told about answers at all, if that was a no so far."""
    customer = session.get_one(Customer, following.customer_id, with_for_update=True)
    customer.confirmed_at = customer.confirmed_at or now
    following.confirmed_at, following.stopped_at = following.confirmed_at or now, None
    session.execute(delete(ConfirmationAsked).where(ConfirmationAsked.fingerprint == customer.fingerprint))
    if frequencies(session, customer).get(Topic.REPLIES, Frequency.NEVER) is Frequency.NEVER:
        choose(
            session,
            customer,
            Topic.REPLIES,
            Frequency.EACH,
            channel=ConsentChannel.FORM,
            wording=Topic.REPLIES.info.wording,
            now=now,
        )


def stop_following(following: Following, *, now: datetime) -> None:
    """No more letters about this thread to this person."""
    following.stopped_at = following.stopped_at or now


def notify_of_replies(session: Session, comments: Sequence[Comment], *, now: datetime) -> None:
    """Note for whom these comments, shown from now on, are an answer. Who has said no, or wrote it, gets no note."""
    for comment in comments:
        following = _to_be_told(session, comment)
        if following is not None and not _is_noted(session, following, comment):
            session.add(Notice(following_id=following.id, comment_id=comment.id, at=now))


def skip_own_reply(session: Session, comment: Comment) -> None:
    """Note that one browser wrote a comment and what it answers: there is nobody to tell."""
    following = _to_be_told(session, comment)
    if following is not None:
        session.add(Notice(following_id=following.id, comment_id=comment.id, at=comment.created_at, told_at=NO_NEED))


def queue_due_letters(session: Session, *, now: datetime) -> int:
    """Note a letter for everybody who is to be told about answers now, as often as they chose; returns how many.

    One process at a time: two would note two letters for one person.
    """
    advisory_lock(session, "letters about answers")
    due = session.scalars(_due(now)).all()
    for customer in due:
        queue_letter(session, LetterKind.ANSWERS, customer, now=now)
    return len(due)


def has_due_letters(session: Session, *, now: datetime) -> bool:
    """Whether anybody is to be told about answers now."""
    return session.scalar(_due(now).limit(1)) is not None


def _due(now: datetime) -> Select[int]:
    waiting = select(LetterRequest.customer_id).where(
        LetterRequest.kind == LetterKind.ANSWERS,
        LetterRequest.customer_id.is_not(None),
        LetterRequest.sent_at.is_(None),
        LetterRequest.gave_up.is_(None),
    )
    return (
        select(Customer.id)
        .where(writable(Topic.REPLIES, now), _its_time(now))
        .where(Customer.id.in_(_untold(now).with_only_columns(Following.customer_id)))
        .where(Customer.id.not_in(waiting))
        .order_by(Customer.id)
    )


def take_unsent(session: Session, customer: int, *, now: datetime) -> list[Notice]:
    """What a person has not been told about; it counts as told from now on.

    Nothing if the person does not want to hear of it by now.
    """
    allowed = select(Customer.id).where(Customer.id == customer, writable(Topic.REPLIES, now), _its_time(now))
    if session.scalar(allowed) is None:
        return []
    notices = list(session.scalars(_untold(now).where(Following.customer_id == customer).order_by(Notice.id)))
    for notice in notices:
        notice.told_at = now
    return notices


def still_wanted(
    session: Session, customer: int, notices: Sequence[int], *, now: datetime
) -> list[tuple[Following, Comment, Thread]]:
    """Of these notices what a person still wants to hear, oldest first, with threads; asked right before a letter."""
    if session.scalar(select(Customer.id).where(Customer.id == customer, writable(Topic.REPLIES, now))) is None:
        return []
    rows = session.execute(
        select(Following, Comment, Thread)
        .join(Notice, Notice.following_id == Following.id)
        .join(Comment, Comment.id == Notice.comment_id)
        .join(Thread, Thread.id == Comment.thread_id)
        .where(
            Notice.id.in_(notices),
            Following.customer_id == customer,
            Following.stopped_at.is_(None),
            Comment.status == CommentStatus.APPROVED,
        )
        .order_by(Comment.created_at, Comment.id)
    )
    return [(following, comment, thread) for following, comment, thread in rows]


def _untold(now: datetime) -> Select[Notice]:
    return (
        select(Notice)
        .join(Following, Following.id == Notice.following_id)
        .join(Comment, Comment.id == Notice.comment_id)
        .where(
            Notice.told_at.is_(None),
            Notice.at > now - OLDEST_NEWS,
            Following.confirmed_at.is_not(None),
            Following.stopped_at.is_(None),
            Comment.status == CommentStatus.APPROVED,
        )
    )


def _its_time(now: datetime) -> ColumnElement[bool]:
    """Part of a query for customers: they want a letter each time, or the day has come on which theirs is made.

    That is the first look after the moment of a digest, and it is over with the letter. Whatever was otherwise at that
    moment waits for the next one, as their page says: an answer that came later, was not shown or not asked for then,
    a choice that is younger, a pause that went on.
    """
    chosen = (
        select(Preference.frequency)
        .where(Preference.customer_id == Customer.id, Preference.topic == Topic.REPLIES)
        .scalar_subquery()
    )
    return or_(chosen == Frequency.EACH, *(_collected(frequency, now) for frequency in COLLECTED))


def _collected(frequency: Frequency, now: datetime) -> ColumnElement[bool]:
    end = last_digest(frequency, now)
    notice, following = aliased(Notice), aliased(Following)
    last = (
        select(func.max(notice.told_at))
        .join(following, following.id == notice.following_id)
        .where(following.customer_id == Customer.id)
        .scalar_subquery()
    )
    chosen_by_then = select(Preference.customer_id).where(
        Preference.topic == Topic.REPLIES, Preference.frequency == frequency, Preference.changed_at < end
    )
    news = _untold(now).where(Notice.at < end, Following.confirmed_at < end, Comment.changed_at < end)
    return and_(
        Customer.id.in_(chosen_by_then),
        Customer.id.in_(news.with_only_columns(Following.customer_id)),
        or_(last.is_(None), last < end),
        not_paused(end),
    )


def _following(session: Session, thread: int, customer: int) -> Following | None:
    query = select(Following).where(Following.thread_id == thread, Following.customer_id == customer)
    return session.scalar(query)


def _to_be_told(session: Session, comment: Comment) -> Following | None:
    if comment.parent_id is None:
        return None
    author = session.scalar(select(Comment.customer_id).where(Comment.id == comment.parent_id))
    if author is None or author == comment.customer_id:
        return None
    following = _following(session, comment.thread_id, author)
    return None if following is None or following.stopped_at else following


def _is_noted(session: Session, following: Following, comment: Comment) -> bool:
    query = select(Notice.id).where(Notice.following_id == following.id, Notice.comment_id == comment.id)
    return session.scalar(query) is not None
