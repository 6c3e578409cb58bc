"""Audiences as CSV or JSON lines for other programs, streamed: an audience may not fit into memory."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from feedback_app import clock
from feedback_app.customers.consent import audience_page
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.letters.context import LetterContext

COLUMNS = ("address", "name", "frequency", "unsubscribe", "preferences")


@dataclass(frozen=True, slots=True)
class ListedCustomer:
    """A customer in an audience, with the links that a letter needs."""

    address: str
    name: str | None
    frequency: str
    unsubscribe: str
    preferences: str


def csv_lines(rows: Iterable[ListedCustomer]) -> Iterator[str]:
    """Yield the lines of a CSV table with a header (RFC 4180)."""
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([getattr(row, name) or "" for name in COLUMNS])
        yield file.getvalue()
        file.seek(0)
        file.truncate()
    yield file.getvalue()


def json_lines(rows: Iterable[ListedCustomer]) -> Iterator[str]:
    """Yield one JSON object per line."""
    for row in rows:
        yield json.dumps({name: getattr(row, name) for name in COLUMNS}, ensure_ascii=False) + "\n"


def audience_rows(store: Store, letters: LetterContext, topic: Topic) -> Iterator[ListedCustomer]:
    """Yield the customers who may be written to about a topic.

    They are read in batches, each in a transaction of its own, so that a slow reader blocks nobody.
    """
    last: int | None = 0
    while last is not None:
        now = clock.now()
        with store.reading() as session:
            batch, last = audience_page(session, topic, last, now=now)
        for customer, frequency in batch:
            unsubscribe = letters.unsubscribe_link(customer.id, topic, now)
            preferences = letters.preferences_link(customer.id, now, customer.series)
            yield ListedCustomer(customer.address, customer.name, frequency.value, unsubscribe, preferences)
