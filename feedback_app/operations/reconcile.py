"""What a restore must not undo: refusals that came after the backup, and the ledger of letters that have left since.

The tables of the replaced store are there as a snapshot during the restoring transaction, so everything here is a join.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, delete, exists, insert, or_, select, update
from sqlalchemy.orm import Session

from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.customers.consent import withdraw
from feedback_app.customers.models import (
    AddressChange,
    ConsentChannel,
    Customer,
    Frequency,
    NameDisplay,
    Preference,
    Suppression,
    SuppressionReason,
    Undo,
)
from feedback_app.db.setup import SEALING_KEY, StoreFact
from feedback_app.mailing.models import Delivery, Mailing, MailingState
from feedback_app.operations.reconcile_letters import carry_letters
from feedback_app.operations.reconcile_owners import carry_owners
from feedback_app.operations.snapshot import (
    COMMENTS,
    CUSTOMERS,
    DELIVERIES,
    MAILINGS,
    PREFERENCES,
    SUPPRESSIONS,
    Snapshot,
    insert_rows,
    update_rows,
)
from feedback_app.privacy.erasing import erase_customer
from feedback_app.security.crypto import KeyRing

UNSTARTED = (MailingState.DRAFT, MailingState.HELD)
UNFINISHED = (*UNSTARTED, MailingState.SENDING, MailingState.HALTED)
TAKEN_DOWN = (CommentStatus.REJECTED, CommentStatus.SPAM, CommentStatus.DELETED)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How many rows of each kind were carried over from the replaced store."""

    suppressions: int = 0
    erased: int = 0
    choices: int = 0
    comments: int = 0
    mailings: int = 0
    deliveries: int = 0
    owners: int = 0
    letters: int = 0


def carry_over(session: Session, before: Snapshot, ring: KeyRing, *, now: datetime) -> Reconciled:
    """Carry over, from the replaced store, what a restore must not undo."""
    known = {key.id for key in ring.sealing}
    for name, value in before.facts.items():
        if name.startswith(SEALING_KEY) and value in known:
            session.merge(StoreFact(name=name, value=value))
    _moved(session)
    return Reconciled(
        suppressions=_suppressions(session),
        erased=_erasures(session, now),
        choices=_noes(session, now) + _lost_noes(session, now) + _discretion(session),
        comments=_taken_down(session, now),
        mailings=_mailings(session),
        deliveries=_deliveries(session),
        owners=carry_owners(session),
        letters=carry_letters(session),
    )


def _moved(session: Session) -> None:
    """Update customers who have changed their address since: the old one may be another person's by now."""
    old = CUSTOMERS.c
    same = and_(old.id == Customer.id, old.created_at == Customer.created_at, old.link_series > Customer.link_series)
    rows = session.execute(select(Customer, *CUSTOMERS.columns).join(CUSTOMERS, same)).all()
    for row in rows:
        customer, now_is = row[0], dict(zip((each.name for each in CUSTOMERS.columns), row[1:], strict=True))
        other = session.scalar(select(Customer).where(Customer.fingerprint == now_is["fingerprint"]))
        if other is not None and other.id != customer.id:
            session.delete(other)
            session.flush()
        for gone in (Undo, AddressChange):
            session.execute(delete(gone).where(gone.customer_id == customer.id))
        for name in ("fingerprint", "address", "name", "link_series"):
            setattr(customer, name, now_is[name])
        session.flush()


def _came_back(fingerprint: Any, at: Any) -> Any:  # noqa: ANN401 - SQL expressions
    """Return whether the restored store has a yes after that moment, which then is the later choice."""
    return exists().where(
        Customer.fingerprint == fingerprint,
        Preference.customer_id == Customer.id,
        Preference.frequency != Frequency.NEVER,
        Preference.changed_at > at,
    )


def _suppressions(session: Session) -> int:
    old = SUPPRESSIONS.c
    known = exists().where(Suppression.fingerprint == old.fingerprint)
    missing = select(old.fingerprint, old.reason, old.at).where(~known, ~_came_back(old.fingerprint, old.at))
    columns = ("fingerprint", "reason", "at")
    return insert_rows(session, insert(Suppression).from_select(columns, missing))


def _erasures(session: Session, now: datetime) -> int:
    old = SUPPRESSIONS.c
    query = select(Customer).join(SUPPRESSIONS, old.fingerprint == Customer.fingerprint)
    erased = (
        old.reason == SuppressionReason.ERASED,
        Customer.created_at <= old.at,
        ~_came_back(old.fingerprint, old.at).correlate(SUPPRESSIONS),
    )
    people = session.scalars(query.where(*erased)).all()
    for customer in people:
        erase_customer(session, customer, now=now)
        session.expunge(customer)
    return len(people)


def _later_noes(*what: Any) -> Select[Any]:  # noqa: ANN401 - SQL expressions
    """Select every explicit no of the replaced store, with the restored customer and choice where there are any."""
    return (
        select(*what)
        .select_from(PREFERENCES)
        .join(CUSTOMERS, CUSTOMERS.c.id == PREFERENCES.c.customer_id)
        .outerjoin(Customer, Customer.fingerprint == CUSTOMERS.c.fingerprint)
        .outerjoin(Preference, and_(Preference.customer_id == Customer.id, Preference.topic == PREFERENCES.c.topic))
        .where(PREFERENCES.c.frequency == Frequency.NEVER)
    )


def _noes(session: Session, now: datetime) -> int:
    overruled = or_(
        Preference.customer_id.is_(None),
        and_(Preference.frequency != Frequency.NEVER, Preference.changed_at <= PREFERENCES.c.changed_at),
    )
    rows = session.execute(_later_noes(Customer, PREFERENCES.c.topic).where(Customer.id.is_not(None), overruled)).all()
    for customer, topic in rows:
        _say_no(session, customer, topic, now)
    return len(rows)


def _lost_noes(session: Session, now: datetime) -> int:
    """Add customers who said no and are not in the backup: without them, a new import would turn it into a yes."""
    query = _later_noes(CUSTOMERS, PREFERENCES.c.topic).where(Customer.id.is_(None))
    barred = exists().where(Suppression.fingerprint == CUSTOMERS.c.fingerprint)
    rows = session.execute(query.where(~barred)).mappings().all()
    people: dict[bytes, Customer] = {}
    for row in rows:
        if row["fingerprint"] not in people:
            values = {each.name: row[each.name] for each in CUSTOMERS.columns}
            if session.get(Customer, values["id"]):
                del values["id"]
            people[row["fingerprint"]] = Customer(**values)
            session.add(people[row["fingerprint"]])
            session.flush()
        _say_no(session, people[row["fingerprint"]], row["topic"], now)
    return len(rows)


def _say_no(session: Session, customer: Customer, topic: Any, now: datetime) -> None:  # noqa: ANN401 - a Topic, from a row
    withdraw(session, customer, [topic], channel=ConsentChannel.RESTORE, now=now)


def _discretion(session: Session) -> int:
    """Carry over longer pauses, and choices to show less of a name."""
    session.flush()
    matching = Customer.fingerprint == CUSTOMERS.c.fingerprint
    longer = or_(Customer.pause_until.is_(None), Customer.pause_until < CUSTOMERS.c.pause_until)
    pauses = (
        update(Customer)
        .where(matching, CUSTOMERS.c.pause_until.is_not(None), longer)
        .values(pause_until=CUSTOMERS.c.pause_until)
    )
    fewer = or_(
        and_(CUSTOMERS.c.name_display == NameDisplay.UNDISCLOSED, Customer.name_display != NameDisplay.UNDISCLOSED),
        and_(CUSTOMERS.c.name_display == NameDisplay.FIRST, Customer.name_display == NameDisplay.FULL),
    )
    names = update(Customer).where(matching, fewer).values(name_display=CUSTOMERS.c.name_display)
    return update_rows(session, (pauses, names))


def _taken_down(session: Session, now: datetime) -> int:
    """Take down the comments that the shop or their authors have taken down since."""
    old = COMMENTS.c
    query = (
        select(Comment, old.status, old.text)
        .join(COMMENTS, and_(old.id == Comment.id, old.created_at == Comment.created_at))
        .where(old.status.in_(TAKEN_DOWN), Comment.status.not_in(TAKEN_DOWN), Comment.changed_at <= now)
    )
    rows = session.execute(query).all()
    threads = {comment.thread_id for comment, _, _ in rows if comment.status is CommentStatus.APPROVED}
    for comment, status, words in rows:
        comment.status, comment.changed_at = status, now
        if not words:
            comment.text, comment.html = "", ""
    session.flush()
    session.execute(update(Thread).where(Thread.id.in_(threads)).values(version=Thread.version + 1))
    return len(rows)


def _mailings(session: Session) -> int:
    """Carry over mailings that were started or cancelled since: sent is sent, whatever the backup says."""
    old = MAILINGS.c
    ended = or_(old.started_at.is_not(None), old.state == MailingState.CANCELLED)
    values = {name: old[name] for name in old.keys() if name not in {"id", "slug"}}  # noqa: SIM118 - not a mapping
    fresh = select(old.slug, *values.values()).where(ended, old.slug.not_in(select(Mailing.slug)))
    behind = update(Mailing).where(Mailing.slug == old.slug, ended, Mailing.state.in_(UNFINISHED)).values(values)
    moved = update_rows(session, (behind,))
    return moved + insert_rows(session, insert(Mailing).from_select(("slug", *values), fresh))


def _deliveries(session: Session) -> int:
    old = DELIVERIES.c
    values = {name: old[name] for name in old.keys() if name not in {"id", "mailing_id", "customer_id"}}  # noqa: SIM118 - not a mapping
    same = (
        MAILINGS.c.id == old.mailing_id,
        Mailing.slug == MAILINGS.c.slug,
        CUSTOMERS.c.id == old.customer_id,
        Customer.fingerprint == CUSTOMERS.c.fingerprint,
    )
    later = (
        update(Delivery)
        .where(*same, Delivery.mailing_id == Mailing.id, Delivery.customer_id == Customer.id)
        .where(old.changed_at > Delivery.changed_at)
        .values(values)
    )
    there = exists().where(Delivery.mailing_id == Mailing.id)
    known = there.where(Delivery.customer_id == Customer.id).correlate(Mailing, Customer)
    fresh = select(Mailing.id, Customer.id, *values.values()).where(*same, ~known)
    # Deliveries without a customer count in a mailing that is not in the backup; in others they are there already.
    without_customer = (
        select(Mailing.id, Customer.id, *values.values())
        .select_from(DELIVERIES)
        .join(MAILINGS, MAILINGS.c.id == old.mailing_id)
        .join(Mailing, Mailing.slug == MAILINGS.c.slug)
        .outerjoin(CUSTOMERS, CUSTOMERS.c.id == old.customer_id)
        .outerjoin(Customer, Customer.fingerprint == CUSTOMERS.c.fingerprint)
        .where(Customer.id.is_(None), ~there.correlate(Mailing))
    )
    columns = ("mailing_id", "customer_id", *values)
    moved = update_rows(session, (later,))
    moved += insert_rows(session, insert(Delivery).from_select(columns, without_customer))
    return moved + insert_rows(session, insert(Delivery).from_select(columns, fresh))
