"""Lists of whom may be written to, a line each, for other programs: nothing of them is held in memory as a whole."""

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
    """One line of an audience."""

    address: str
    name: str | None
    frequency: str
    unsubscribe: str
    preferences: str


def csv_lines(rows: Iterable[ListedCustomer]) -> Iterator[str]:
    """A table with a head (RFC 4180)."""
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
    """One JSON object a line."""
    for row in rows:
        yield json.dumps({name: getattr(row, name) for name in COLUMNS}, ensure_ascii=False) + "\n"


def rows_of(store: Store, desk: LetterContext, topic: Topic) -> Iterator[ListedCustomer]:
    """The audience of a topic, each with the links that a letter to them needs.

    A batch is read at a time, and the store let go of between two: whoever reads slowly holds nobody up.
    """
    last: int | None = 0
    while last is not None:
        now = clock.now()
        with store.reading() as session:
            some, last = audience_page(session, topic, last, now=now)
        for one, frequency in some:
            unsubscribe = desk.unsubscribe_link(one.id, topic, now)
            preferences = desk.preferences_link(one.id, now, one.series)
            yield ListedCustomer(one.address, one.name, frequency.value, unsubscribe, preferences)
