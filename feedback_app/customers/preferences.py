"""Saving a customer's choices, and undoing the last save. Every function takes the session; the entry point commits."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from feedback_app.customers.consent import choose, frequencies
from feedback_app.customers.models import (
    ConsentChannel,
    Customer,
    Frequency,
    LetterFormat,
    NameDisplay,
    Suppression,
    SuppressionReason,
    Undo,
)
from feedback_app.customers.services import NAME_COLUMN, name_of, set_name
from feedback_app.customers.topics import Topic, english_wording
from feedback_app.db.setup import vault_of

UNDO_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class CustomerChoices:
    """Everything that a customer can choose. A topic that was never chosen is a no."""

    topics: Mapping[Topic, Frequency]
    format: LetterFormat
    name_display: NameDisplay
    name: str
    pause_until: date | None
    language: str | None

    def frequency(self, topic: Topic) -> Frequency:
        """Return how often the customer wants letters about a topic."""
        return self.topics.get(topic, Frequency.NEVER)

    def fields(self) -> dict[str, object]:
        """Return every choice by the name of its form field, in the order of the page."""
        by_name = asdict(self)
        del by_name["topics"]
        return {topic.value: self.frequency(topic) for topic in Topic} | by_name

    @property
    def checksum(self) -> str:
        """A short hash that tells whether the choices were changed while a page was open."""
        text = json.dumps(self.fields(), default=str, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ChoicesChange:
    """A customer's choices before and after a save."""

    before: CustomerChoices
    after: CustomerChoices


def current_choices(session: Session, customer: Customer) -> CustomerChoices:
    """Return a customer's current choices. Raises CannotOpen."""
    chosen = frequencies(session, customer)
    return CustomerChoices(
        {topic: chosen.get(topic, Frequency.NEVER) for topic in Topic},
        format=customer.format,
        name_display=customer.name_display,
        name=name_of(session, customer) or "",
        pause_until=customer.pause_until,
        language=customer.language,
    )


def save_choices(
    session: Session,
    customer: Customer,
    wanted: CustomerChoices,
    *,
    now: datetime,
    wording_of: Callable[[Topic], str] = english_wording,
) -> ChoicesChange:
    """Save a customer's choices, and keep those before for a day. Load the customer `with_for_update`.

    `wording_of` tells what the page said about a topic, in its language.
    """
    before = current_choices(session, customer)
    barred = session.get(Suppression, customer.fingerprint)
    suppressed = {"reason": barred.reason.value, "at": barred.at.isoformat()} if barred else None
    customer.confirmed_at = customer.confirmed_at or now
    _apply(session, customer, wanted, wording_of, now)
    if wanted != before:
        _keep_for_undo(session, customer, ChoicesChange(before, wanted), suppressed, now=now)
    return ChoicesChange(before, wanted)


def undoable_since(session: Session, customer: Customer, *, now: datetime) -> datetime | None:
    """Return the time of the last save if it can be undone: within a day, and if nothing else was chosen since."""
    kept = session.get(Undo, customer.id)
    if kept is None or now - kept.at > UNDO_FOR or kept.after != current_choices(session, customer).checksum:
        return None
    return kept.at


def undo_last_save(
    session: Session, customer: Customer, *, now: datetime, wording_of: Callable[[Topic], str] = english_wording
) -> ChoicesChange | None:
    """Restore the choices from before the last save. Returns None when it can no longer be undone."""
    if undoable_since(session, customer, now=now) is None:
        return None
    kept = session.get_one(Undo, customer.id)
    said = json.loads(kept.choices)
    name = "" if kept.name is None else vault_of(session).open(NAME_COLUMN, customer.fingerprint, kept.name)
    before = current_choices(session, customer)
    after = CustomerChoices(
        {topic: Frequency(said.get(topic.value, Frequency.NEVER)) for topic in Topic},
        format=LetterFormat(said["format"]),
        name_display=NameDisplay(said["name_display"]),
        name=name,
        pause_until=date.fromisoformat(said["pause_until"]) if said["pause_until"] else None,
        language=said["language"],
    )
    _apply(session, customer, after, wording_of, now)
    if barred := said["suppressed"]:
        # The yes that is undone had lifted a suppression: it is put back.
        reason = SuppressionReason(barred["reason"])
        at = datetime.fromisoformat(barred["at"])
        session.merge(Suppression(fingerprint=customer.fingerprint, reason=reason, at=at))
    session.execute(delete(Undo).where(Undo.customer_id == customer.id))
    return ChoicesChange(before, after)


def less_often_than(frequency: Frequency) -> list[Frequency]:
    """Return the frequencies with fewer letters than this one, without `never`."""
    order = [Frequency.EACH, Frequency.WEEKLY, Frequency.MONTHLY]
    return order[order.index(frequency) + 1 :] if frequency in order else []


def changed_fields(saved: ChoicesChange) -> list[str]:
    """Return the form fields that were changed, in the order of the page."""
    before, after = saved.before.fields(), saved.after.fields()
    return [name for name in after if before[name] != after[name]]


def _apply(
    session: Session, customer: Customer, wanted: CustomerChoices, wording_of: Callable[[Topic], str], now: datetime
) -> None:
    customer.format, customer.name_display = wanted.format, wanted.name_display
    customer.pause_until, customer.language = wanted.pause_until, wanted.language
    if wanted.name != (name_of(session, customer) or ""):
        set_name(session, customer, wanted.name)
    for topic in Topic:
        choose(
            session,
            customer,
            topic,
            wanted.frequency(topic),
            channel=ConsentChannel.FORM,
            wording=wording_of(topic),
            now=now,
        )


def _keep_for_undo(
    session: Session, customer: Customer, saved: ChoicesChange, suppressed: dict[str, str] | None, *, now: datetime
) -> None:
    before, after = saved.before, saved.after
    said = {name: value for name, value in before.fields().items() if name != "name"} | {"suppressed": suppressed}
    name = vault_of(session).seal(NAME_COLUMN, customer.fingerprint, before.name) if before.name else None
    row = session.get(Undo, customer.id) or Undo(customer_id=customer.id)
    row.at, row.choices, row.name, row.after = now, json.dumps(said, default=str), name, after.checksum
    session.add(row)
