"""The life of a mailing. Every function takes the session; the entry point commits."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from feedback_app.customers.consent import not_paused, writable
from feedback_app.customers.digest_schedule import COLLECTED
from feedback_app.customers.models import Customer, Frequency, Preference, Suppression
from feedback_app.customers.topics import Topic
from feedback_app.db.store import rows_changed
from feedback_app.letter_queue import LetterKind, queue_letter
from feedback_app.mailing.mailings import digests
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
    """A mailing can't do what it was told to; one line that says why."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What cancelling did: how many had got the letter, may have got it, and will not."""

    accepted: int
    in_doubt: int
    stopped: int


@dataclass(frozen=True, slots=True)
class Excluded:
    """How many of a topic's customers a mailing would leave out, and why; `in_digests` get it with others, later."""

    no: int
    paused: int
    suppressed: int
    in_digests: int


def find_mailing(session: Session, slug: str) -> Mailing:
    """The mailing of a slug. Raises MailingRefused."""
    mailing = session.scalar(select(Mailing).where(Mailing.slug == slug))
    if mailing is None:
        message = f"there is no mailing {slug[:100]!r}: it begins with `undisclosed mail send FILE`"
        raise MailingRefused(message)
    return mailing


def hold(session: Session, draft: MailingSource, *, minutes: float, now: datetime) -> Mailing:
    """Freeze a draft's text and begin its hold.

    A cancelled mailing can be mended and held again as long as none of it left. Raises MailingRefused.
    """
    mailing = session.scalar(select(Mailing).where(Mailing.slug == draft.slug).with_for_update())
    if mailing is not None:
        _check_over(session, mailing)
        session.execute(delete(Delivery).where(Delivery.mailing_id == mailing.id))
    else:
        mailing = Mailing(slug=draft.slug, created_at=now)
        session.add(mailing)
    mailing.topic, mailing.subject, mailing.nameless, mailing.body = (
        draft.topic,
        draft.subject,
        draft.nameless,
        draft.body,
    )
    mailing.state, mailing.due_at = MailingState.HELD, now + timedelta(minutes=minutes)
    mailing.started_at, mailing.ended_at, mailing.reason, mailing.canary = None, None, None, 0
    try:
        session.flush()
    except IntegrityError as error:
        message = f"{draft.slug} was sent off by somebody else at this moment"
        raise MailingRefused(message) from error
    return mailing


def check_free(session: Session, slug: str) -> None:
    """Look whether a mailing can be sent under a slug: it is new, or was unsent whole. Raises MailingRefused."""
    mailing = session.scalar(select(Mailing).where(Mailing.slug == slug))
    if mailing is not None:
        _check_over(session, mailing)


def _check_over(session: Session, mailing: Mailing) -> None:
    if mailing.state is not MailingState.CANCELLED or mailing.digest is not None:
        message = f"{mailing.slug} is {mailing.state} already; a new mailing needs a `Slug:` of its own"
        raise MailingRefused(message)
    found = counts(session, mailing)
    if any(found[state] for state in LEFT_STATES):
        message = f"{mailing.slug} was cancelled after some of it had left; a new mailing needs a `Slug:` of its own"
        raise MailingRefused(message)


def cancel(session: Session, slug: str, *, now: datetime) -> Cancelled:
    """Unsend a mailing: in the hold nobody gets anything; later, what has not left stays here.

    Raises MailingRefused when there is nothing to cancel any more.
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
    """Continue a halted mailing; what a server has put off has two days again. Raises MailingRefused."""
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
    # What was put off before is not given up for the days on which nobody tried.
    session.execute(update(Delivery).where(Delivery.mailing_id == mailing.id, IS_DEFERRED).values(deferred_since=None))


def halt(session: Session, mailing_id: int, reason: str, *, now: datetime) -> None:
    """Stop a mailing until somebody has looked at it, and have the owner told."""
    done = rows_changed(
        session,
        update(Mailing)
        .where(Mailing.id == mailing_id, Mailing.state == MailingState.SENDING)
        .values(state=MailingState.HALTED, reason=reason),
    )
    if done:
        queue_letter(session, LetterKind.MAILING_HALTED, None, now=now, about=mailing_id)


def counts(session: Session, mailing: Mailing) -> dict[DeliveryState, int]:
    """How many deliveries stand in each state; every state is there."""
    query = select(Delivery.state, func.count()).where(Delivery.mailing_id == mailing.id).group_by(Delivery.state)
    found = {row[0]: row[1] for row in session.execute(query)}
    return {state: found.get(state, 0) for state in DeliveryState}


def audience_count(session: Session, topic: Topic, *, now: datetime) -> int:
    """How many would get a mailing at this moment: not in a digest."""
    query = select(func.count()).select_from(Customer).where(writable(topic, now), ~_in_digests(topic))
    return session.scalar(query) or 0


def _in_digests(topic: Topic) -> ColumnElement[bool]:
    """Whether this row of `customers` has what there is about a topic collected for a week or a month."""
    return (
        select(Preference.customer_id)
        .where(
            Preference.customer_id == Customer.id,
            Preference.topic == topic,
            Preference.frequency.in_(COLLECTED),
        )
        .exists()
    )


def left_out(session: Session, topic: Topic, *, now: datetime) -> Excluded:
    """Who is known and would not be written to, in numbers. A person counts once, by the first reason."""

    def count(query: Select[int]) -> int:
        return session.scalar(query) or 0

    everybody = select(func.count()).select_from(Customer)
    barred = select(Suppression.fingerprint).where(Suppression.fingerprint == Customer.fingerprint).exists()
    wants = (
        select(Preference.customer_id)
        .where(
            Preference.customer_id == Customer.id, Preference.topic == topic, Preference.frequency != Frequency.NEVER
        )
        .exists()
    )
    return Excluded(
        no=count(everybody.where(~barred, ~wants)),
        paused=count(everybody.where(~barred, wants, ~not_paused(now))),
        suppressed=count(everybody.where(barred)),
        in_digests=count(everybody.where(writable(topic, now), _in_digests(topic))),
    )


def release_due(session: Session, *, now: datetime) -> list[str]:
    """End the holds that are over: the audience of this moment is frozen into the ledger. Returns the slugs.

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
                _freeze_audience(session, mailing, now)
                queue_letter(session, LetterKind.MAILING_COPY, None, now=now, about=number)
            else:
                digests.freeze(session, mailing, now=now)
            released.append(mailing.slug)
    return released


def _freeze_audience(session: Session, mailing: Mailing, now: datetime) -> None:
    columns = ("mailing_id", "customer_id", "state", "attempts", "changed_at")
    people = (
        select(
            literal(mailing.id),
            Customer.id,
            literal(DeliveryState.QUEUED, Delivery.state.type),
            literal(0),
            literal(now, Delivery.changed_at.type),
        )
        .where(writable(mailing.topic, now))
        .order_by(Customer.id)
    )
    session.execute(insert(Delivery).from_select(columns, people))
    # Of those who get it now: what is put off for a digest is never answered.
    mailing.canary = canary_of(audience_count(session, mailing.topic, now=now))


def sending(session: Session) -> list[Mailing]:
    """The mailings that are on their way, oldest first."""
    query = select(Mailing).where(Mailing.state == MailingState.SENDING).order_by(Mailing.id)
    return list(session.scalars(query))


def finish(session: Session, *, now: datetime) -> None:
    """Call `sent` the mailings of which nothing is left to do."""
    left = select(Delivery.id).where(Delivery.mailing_id == Mailing.id, Delivery.state.in_(OPEN_STATES)).exists()
    session.execute(
        update(Mailing)
        .where(Mailing.state == MailingState.SENDING, ~left)
        .values(state=MailingState.SENT, ended_at=now)
    )
