"""The life of a mailing: held, cancelled, halted, resumed, sent.

Every function takes a session; the entry point commits.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from feedback_app.db.store import rows_changed
from feedback_app.letter_queue import LetterKind, queue_letter
from feedback_app.mailing.mailings import digests
from feedback_app.mailing.mailings.audience import audience_count, freeze_audience
from feedback_app.mailing.mailings.canary import canary_of
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import (
    IS_DEFERRED,
    LEFT_STATES,
    OPEN_STATES,
    Delivery,
    DeliveryState,
    Mailing,
    MailingState,
)
from feedback_app.mailing.words import CANCELLED


class MailingRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A mailing can't do what was asked of it; one line that says why."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """How many customers got the letter before it was cancelled, may have got it, and will not get it."""

    accepted: int
    in_doubt: int
    stopped: int


def find_mailing(session: Session, slug: str) -> Mailing:
    """Return the mailing of a slug. Raises MailingRefused."""
    mailing = session.scalar(select(Mailing).where(Mailing.slug == slug))
    if mailing is None:
        message = f"there is no mailing {slug[:100]!r}: it begins with `undisclosed mail send FILE`"
        raise MailingRefused(message)
    return mailing


def hold(session: Session, source: MailingSource, *, minutes: float, now: datetime) -> Mailing:
    """Freeze a mailing's text and begin its hold.

    A cancelled mailing can be changed and held again, as long as none of its letters has left. Raises MailingRefused.
    """
    mailing = session.scalar(select(Mailing).where(Mailing.slug == source.slug).with_for_update())
    if mailing is not None:
        _check_unsent(session, mailing)
        session.execute(delete(Delivery).where(Delivery.mailing_id == mailing.id))
    else:
        mailing = Mailing(slug=source.slug, created_at=now)
        session.add(mailing)
    mailing.topic, mailing.subject, mailing.nameless, mailing.body = (
        source.topic,
        source.subject,
        source.nameless,
        source.body,
    )
    mailing.state, mailing.due_at = MailingState.HELD, now + timedelta(minutes=minutes)
    mailing.started_at, mailing.ended_at, mailing.reason, mailing.canary = None, None, None, 0
    try:
        session.flush()
    except IntegrityError as error:
        message = f"{source.slug} was sent off by somebody else at this moment"
        raise MailingRefused(message) from error
    return mailing


def check_free(session: Session, slug: str) -> None:
    """Check that a mailing can be sent under a slug: it is new, or all of it was unsent. Raises MailingRefused."""
    mailing = session.scalar(select(Mailing).where(Mailing.slug == slug))
    if mailing is not None:
        _check_unsent(session, mailing)


def _check_unsent(session: Session, mailing: Mailing) -> None:
    if mailing.state is not MailingState.CANCELLED or mailing.digest is not None:
        message = f"{mailing.slug} is {mailing.state} already; a new mailing needs a `Slug:` of its own"
        raise MailingRefused(message)
    found = counts(session, mailing)
    if any(found[state] for state in LEFT_STATES):
        message = f"{mailing.slug} was cancelled after some of it had left; a new mailing needs a `Slug:` of its own"
        raise MailingRefused(message)


def cancel(session: Session, slug: str, *, now: datetime) -> Cancelled:
    """Unsend a mailing: during the hold nobody gets anything; later, the letters that have not left stay here.

    Raises MailingRefused when there is nothing left to cancel.
    """
    mailing = find_mailing(session, slug)
    stoppable = (MailingState.DRAFT, MailingState.HELD, MailingState.SENDING, MailingState.HALTED)
    done = rows_changed(
        session,
        update(Mailing)
        .where(Mailing.id == mailing.id, Mailing.state.in_(stoppable))
        .values(state=MailingState.CANCELLED, ended_at=now, reason="cancelled by the owner"),
    )
    if not done:
        session.refresh(mailing)
        message = f"{slug} is {mailing.state} already: there is nothing left to cancel"
        raise MailingRefused(message)
    stopped = rows_changed(
        session,
        update(Delivery)
        .where(
            Delivery.mailing_id == mailing.id,
            Delivery.state.in_((DeliveryState.QUEUED, DeliveryState.DEFERRED)),
        )
        .values(state=DeliveryState.SKIPPED, reason=CANCELLED, changed_at=now),
    )
    found = counts(session, mailing)
    in_doubt = found[DeliveryState.SUBMITTING] + found[DeliveryState.UNKNOWN]
    session.refresh(mailing)
    return Cancelled(found[DeliveryState.ACCEPTED], in_doubt, stopped)


def resume(session: Session, slug: str) -> None:
    """Continue a halted mailing; letters that a server has deferred have two days again. Raises MailingRefused."""
    mailing = find_mailing(session, slug)
    done = rows_changed(
        session,
        update(Mailing)
        .where(Mailing.id == mailing.id, Mailing.state == MailingState.HALTED)
        .values(state=MailingState.SENDING, reason=None),
    )
    if not done:
        message = f"{slug} is {mailing.state}, not halted: there is nothing to resume"
        raise MailingRefused(message)
    # The days of the halt, on which nobody tried, don't count against a deferred letter.
    session.execute(update(Delivery).where(Delivery.mailing_id == mailing.id, IS_DEFERRED).values(deferred_since=None))


def halt(session: Session, mailing_id: int, reason: str, *, now: datetime) -> None:
    """Stop a mailing until the owner resumes it, and ask for a letter that tells the owner."""
    done = rows_changed(
        session,
        update(Mailing)
        .where(Mailing.id == mailing_id, Mailing.state == MailingState.SENDING)
        .values(state=MailingState.HALTED, reason=reason),
    )
    if done:
        queue_letter(session, LetterKind.MAILING_HALTED, None, now=now, about=mailing_id)


def counts(session: Session, mailing: Mailing) -> dict[DeliveryState, int]:
    """Return how many deliveries are in each state; every state is there."""
    query = select(Delivery.state, func.count()).where(Delivery.mailing_id == mailing.id).group_by(Delivery.state)
    found = {row[0]: row[1] for row in session.execute(query)}
    return {state: found.get(state, 0) for state in DeliveryState}


def release_due(session: Session, *, now: datetime) -> list[str]:
    """End the holds that are over: the audience of this moment is frozen into the ledger. Return the slugs.

    The state is changed by one conditional UPDATE, so that a cancel and a release can't both win.
    """
    due = select(Mailing.id).where(Mailing.state == MailingState.HELD, Mailing.due_at <= now)
    released = []
    for number in session.scalars(due).all():
        won = rows_changed(
            session,
            update(Mailing)
            .where(Mailing.id == number, Mailing.state == MailingState.HELD, Mailing.due_at <= now)
            .values(state=MailingState.SENDING, started_at=now),
        )
        if won:
            mailing = session.get_one(Mailing, number, populate_existing=True)
            if mailing.digest is None:
                freeze_audience(session, mailing, now=now)
                # Of the letters that leave now: a letter that waits for a digest is never answered.
                mailing.canary = canary_of(audience_count(session, mailing.topic, now=now))
                queue_letter(session, LetterKind.MAILING_COPY, None, now=now, about=number)
            else:
                digests.freeze_digest(session, mailing, now=now)
            released.append(mailing.slug)
    return released


def sending(session: Session) -> list[Mailing]:
    """Return the mailings that are being sent, oldest first."""
    query = select(Mailing).where(Mailing.state == MailingState.SENDING).order_by(Mailing.id)
    return list(session.scalars(query))


def finish(session: Session, *, now: datetime) -> None:
    """Call those mailings `sent` that have no open delivery left."""
    left = select(Delivery.id).where(Delivery.mailing_id == Mailing.id, Delivery.state.in_(OPEN_STATES)).exists()
    session.execute(
        update(Mailing)
        .where(Mailing.state == MailingState.SENDING, ~left)
        .values(state=MailingState.SENT, ended_at=now)
    )
