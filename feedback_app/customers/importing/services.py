"""Imports customers from a CSV file: streamed, one transaction for each batch, a reason for every line left out.

An import with evidence counts as consent to its topic, for people who have not chosen yet. It never overrules a
choice, never replaces a name, and never brings back an address that must not be written to.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from feedback_app.customers.addresses import ADDRESS_SHAPE
from feedback_app.customers.consent import wording_hash
from feedback_app.customers.importing.csv_rows import CsvRow, ImportRefused, read_rows
from feedback_app.customers.models import (
    ConsentAction,
    ConsentChannel,
    Customer,
    Frequency,
    LetterFormat,
    Preference,
)
from feedback_app.customers.services import ADDRESS_COLUMN, NAME_COLUMN
from feedback_app.customers.topics import Topic
from feedback_app.db.base import Base
from feedback_app.db.bulk import find_many, insert_many
from feedback_app.db.setup import vault_of
from feedback_app.db.store import Store, advisory_lock
from feedback_app.security.crypto import Vault

# Large, because each transaction waits for the disk and rewrites index pages; not larger, because other writers wait.
BATCH = 4000
MOST_REFUSALS = 1000
# Core tables, not ORM classes: an import of a hundred thousand lines needs no objects in the session.
CUSTOMERS = Base.metadata.tables["customers"]
PREFERENCES = Base.metadata.tables["preferences"]
SUPPRESSIONS = Base.metadata.tables["suppressions"]
CONSENT_EVENTS = Base.metadata.tables["consent_events"]
WORDING = "Imported by the shop, which holds the evidence of this consent."


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that was left out, and why. The line itself is not repeated."""

    line: int
    reason: str


@dataclass(slots=True)
class ImportReport:
    """The counts of an import. The `known` had chosen already, or had been imported before.

    `refused` are the first thousand lines that were left out, `left_out` is how many there were.
    """

    added: int = 0
    known: int = 0
    suppressed: int = 0
    left_out: int = 0
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        """Count a line that was left out."""
        self.left_out += 1
        if len(self.refused) < MOST_REFUSALS:
            self.refused.append(Refusal(line, reason))

    def add(self, batch: "ImportReport") -> None:
        """Add the counts of a batch."""
        self.added += batch.added
        self.known += batch.known
        self.suppressed += batch.suppressed


def import_customers(
    store: Store,
    path: Path,
    *,
    topic: Topic,
    evidence: str,
    now: datetime,
    progress: Callable[[int], None] = lambda _: None,
) -> ImportReport:
    """Import a file, in one transaction for each batch. `progress` is called with the bytes read so far.

    Raises ImportRefused when the file or the evidence can't be used at all.
    """
    if not evidence.strip() or ADDRESS_SHAPE.search(evidence):
        message = (
            "--evidence: say how these people agreed (where, when), without a name or address: it is kept for good"
        )
        raise ImportRefused(message)
    report = ImportReport()
    with store.reading() as session:
        vault = vault_of(session)
    try:
        with path.open("rb") as file:
            rows = read_rows(file, vault, report.refuse)
            while batch := list(islice(rows, BATCH)):
                report.add(store.write(partial(_import_batch, batch=batch, topic=topic, evidence=evidence, now=now)))
                progress(_position(file))
            progress(_position(file))
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise ImportRefused(message) from error
    return report


def _position(file: BinaryIO) -> int:
    return file.tell() if file.seekable() else 0


def _import_batch(session: Session, *, batch: list[CsvRow], topic: Topic, evidence: str, now: datetime) -> ImportReport:
    report = ImportReport()
    vault = vault_of(session)
    advisory_lock(session, "import")
    # Of several lines for one person, the first counts.
    rows: dict[bytes, CsvRow] = {}
    for line in batch:
        rows.setdefault(line.fingerprint, line)
    report.known += len(batch) - len(rows)
    # Locked before anything else is read, so that none of them can say no, or be erased, between the check and the yes.
    of_customers = (CUSTOMERS.c.fingerprint, CUSTOMERS.c.id, CUSTOMERS.c.name)
    locked = find_many(session, CUSTOMERS.c.fingerprint, rows, *of_customers, lock=True)
    barred = {
        row.fingerprint for row in find_many(session, SUPPRESSIONS.c.fingerprint, rows, SUPPRESSIONS.c.fingerprint)
    }
    report.suppressed += len(barred)
    wanted = {fingerprint: row for fingerprint, row in rows.items() if fingerprint not in barred}
    known = {row.fingerprint: row for row in locked if row.fingerprint in wanted}
    chosen = _chosen(session, [row.id for row in known.values()], topic)
    fresh = [row for fingerprint, row in wanted.items() if fingerprint not in known]
    ids = {fingerprint: row.id for fingerprint, row in known.items()}
    if fresh:
        ids |= _insert_customers(session, vault, fresh, now)
    new = [number for number in ids.values() if number not in chosen]
    report.added += len(new)
    report.known += len(ids) - len(new)
    if not new:
        return report
    for fingerprint, row in known.items():
        if row.id not in chosen:
            _confirm_known(session, vault, row.id, wanted[fingerprint], named=row.name is not None, now=now)
    _insert_consents(session, new, topic=topic, evidence=evidence, now=now)
    return report


def _chosen(session: Session, numbers: list[int], topic: Topic) -> set[int]:
    """Return which of these customers have chosen about a topic."""
    query = select(Preference.customer_id).where(Preference.topic == topic, Preference.customer_id.in_(numbers))
    return set(session.scalars(query))


def _insert_customers(session: Session, vault: Vault, rows: list[CsvRow], now: datetime) -> dict[bytes, int]:
    sealed = vault.sealer()
    values = [
        {
            "fingerprint": row.fingerprint,
            "address": sealed(ADDRESS_COLUMN, row.fingerprint, row.address.written),
            "name": sealed(NAME_COLUMN, row.fingerprint, row.name) if row.name else None,
            "name_display": row.name_display.value,
        }
        for row in rows
    ]
    insert_many(session, CUSTOMERS, values, format=LetterFormat.HTML, created_at=now, confirmed_at=now)
    # Queried afterwards: with RETURNING, all rows become one statement, and building its text takes longer.
    added = [row.fingerprint for row in rows]
    found = find_many(session, CUSTOMERS.c.fingerprint, added, CUSTOMERS.c.fingerprint, CUSTOMERS.c.id)
    return {row.fingerprint: row.id for row in found}


def _confirm_known(session: Session, vault: Vault, number: int, row: CsvRow, *, named: bool, now: datetime) -> None:
    """Confirm a known customer who has not chosen about this topic, and add their name if they have none."""
    customer = session.get_one(Customer, number)
    customer.confirmed_at = customer.confirmed_at or now
    if row.name and not named:
        session.execute(
            update(Customer)
            .where(Customer.id == number)
            .values(name=vault.seal(NAME_COLUMN, row.fingerprint, row.name))
        )


def _insert_consents(session: Session, numbers: list[int], *, topic: Topic, evidence: str, now: datetime) -> None:
    wording = wording_hash(session, WORDING)
    people = [{"customer_id": number} for number in numbers]
    choice = {"topic": topic, "frequency": Frequency.EACH}
    insert_many(session, PREFERENCES, people, **choice, changed_at=now)
    insert_many(
        session,
        CONSENT_EVENTS,
        people,
        **choice,
        action=ConsentAction.GIVEN,
        channel=ConsentChannel.IMPORT,
        evidence=evidence,
        wording_hash=wording,
        at=now,
    )
