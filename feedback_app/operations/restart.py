"""A restored store does nothing by itself and gives no number twice."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Integer, delete, text, update
from sqlalchemy.orm import Session

from feedback_app.db.base import SQLITE, Base
from feedback_app.db.store import rows_changed
from feedback_app.heartbeats import Worker
from feedback_app.letter_queue import LetterRequest
from feedback_app.mailing.models import Delivery, DeliveryState, DigestItem, Mailing, MailingState
from feedback_app.operations.reconcile_owners import end_sessions
from feedback_app.operations.snapshot import NUMBERED, Snapshot

LOOK_FIRST = "the store was restored: look at who got it before you resume"
LOOK_BEFORE_SENDING = "the store was restored while it was held: look at who got it before you send it again"
RESTORED = "the store was restored"
# Links and cookies contain the numbers of customers, comments and requests, and an unknown number of these were given
# after the backup: a new customer must never get a number that was another's.
GAP = 1_000_000


@dataclass(frozen=True, slots=True)
class Stopped:
    """How many mailings, letters, requests and sessions of the backup were stopped."""

    mailings: int
    in_doubt: int
    letter_requests: int
    sessions: int


def stop_unfinished_work(session: Session, *, now: datetime) -> Stopped:
    """Stop everything unfinished, because what a backup calls unsent may have been sent long ago."""
    halted = rows_changed(
        session,
        update(Mailing)
        .where(Mailing.state == MailingState.SENDING)
        .values(state=MailingState.HALTED, reason=LOOK_FIRST),
    )
    # A held mailing has no deliveries yet that `resume` could continue, but a cancelled one can be sent again.
    cancelled = rows_changed(
        session,
        update(Mailing)
        .where(Mailing.state == MailingState.HELD)
        .values(state=MailingState.CANCELLED, ended_at=now, reason=LOOK_BEFORE_SENDING),
    )
    in_doubt = rows_changed(
        session,
        update(Delivery)
        .where(Delivery.state == DeliveryState.SUBMITTING)
        .values(state=DeliveryState.UNKNOWN, reason=RESTORED, worker_id=None, changed_at=now),
    )
    requests = rows_changed(
        session,
        update(LetterRequest)
        .where(LetterRequest.sent_at.is_(None), LetterRequest.gave_up.is_(None))
        .values(gave_up=RESTORED),
    )
    # What waits for a digest may have been in one long ago.
    session.execute(delete(DigestItem).where(DigestItem.digest_id.is_(None)))
    session.execute(delete(Worker))
    sessions = end_sessions(session)
    session.expire_all()
    return Stopped(halted + cancelled, in_doubt, requests, sessions)


def continue_numbers(connection: Connection, before: Snapshot | None, given: dict[str, int]) -> None:
    """Continue after the last number that the backup or the replaced store has given."""
    for name in NUMBERED:
        last = max(given.get(name, 0), before.numbers.get(name, 0)) if before else given.get(name, 0) + GAP
        _set_number(connection, name, last)
    if connection.dialect.name != SQLITE:
        for one in Base.metadata.sorted_tables:
            if one.name not in NUMBERED and "id" in one.columns and isinstance(one.c.id.type, Integer):
                _set_number(connection, one.name, given.get(one.name, 0))


def _set_number(connection: Connection, name: str, last: int) -> None:
    if not last:
        return
    if connection.dialect.name == SQLITE:
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
        connection.execute(
            text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :n)"), {"name": name, "n": last}
        )
        return
    asked = text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :n)")
    connection.execute(asked, {"name": name, "n": last})
