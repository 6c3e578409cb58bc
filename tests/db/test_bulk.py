"""Many rows at once: written, changed and found as if one by one, on each database."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from feedback_app.customers.models import Customer, LetterFormat, NameDisplay
from feedback_app.customers.topics import Topic
from feedback_app.db.base import Base
from feedback_app.db.bulk import find_many, insert_many, update_many
from feedback_app.db.store import Store
from feedback_app.mailing.delivery.claims import _customers_query
from tests.support.databases import SQLITE

CUSTOMERS = Base.metadata.tables["customers"]
MOMENT = datetime(2007, 10, 10, 13, 41, tzinfo=UTC)
SAME = {"name_display": NameDisplay.FULL, "format": LetterFormat.TEXT, "created_at": MOMENT, "confirmed_at": None}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.dictionaries(st.binary(min_size=32, max_size=32), st.none() | st.binary(max_size=40), max_size=8))
def test_what_is_written_at_once_reads_as_if_written_one_by_one(
    store: Store, people: dict[bytes, bytes | None]
) -> None:
    rows = [{"fingerprint": mark, "address": mark[::-1], "name": name} for mark, name in people.items()]
    with store.writing() as session:
        insert_many(session, CUSTOMERS, rows, **SAME)
        found = session.scalars(select(Customer)).all()
        assert {one.fingerprint: one.name for one in found} == people
        assert {one.address for one in found} == {mark[::-1] for mark in people}
        assert all(one.created_at == MOMENT and one.confirmed_at is None for one in found)
        assert all(one.format is LetterFormat.TEXT and one.name_display is NameDisplay.FULL for one in found)
        session.rollback()


def test_a_change_reaches_those_it_is_for_and_nobody_else(store: Store) -> None:
    people = [{"fingerprint": bytes([number]) * 32, "address": b"sealed", "name": None} for number in range(3)]
    with store.writing() as session:
        insert_many(session, CUSTOMERS, people, **SAME)
    fingerprint, number = CUSTOMERS.c.fingerprint, CUSTOMERS.c.id
    with store.writing() as session:
        wanted = [people[2]["fingerprint"], people[0]["fingerprint"], b"nobody"]
        found = {
            row.fingerprint: row.id for row in find_many(session, fingerprint, wanted, fingerprint, number, lock=True)
        }
        assert found.keys() == {people[0]["fingerprint"], people[2]["fingerprint"]}
        changes = {"id": list(found.values()), "name": [None if mark[0] else b"somebody" for mark in found]}
        update_many(session, CUSTOMERS, changes, confirmed_at=MOMENT)
    with store.reading() as session:
        now = {one.fingerprint[0]: (one.name, one.confirmed_at) for one in session.scalars(select(Customer))}
    assert now == {0: (b"somebody", MOMENT), 1: (None, None), 2: (None, MOMENT)}


def test_nothing_is_asked_for_nobody(store: Store) -> None:
    with store.writing() as session:
        insert_many(session, CUSTOMERS, [], **SAME)
        update_many(session, CUSTOMERS, {"id": [], "name": []})
        assert not find_many(session, CUSTOMERS.c.id, [], CUSTOMERS.c.id)


def test_somebody_who_is_there_already_is_no_second_row(store: Store) -> None:
    somebody = {"fingerprint": b"1" * 32, "address": b"sealed", "name": None}
    with pytest.raises(IntegrityError), store.writing() as session:
        insert_many(session, CUSTOMERS, [somebody, somebody], **SAME)
    with store.reading() as session:
        assert session.scalar(select(Customer.id)) is None


@pytest.mark.parametrize("backend", [SQLITE], indirect=True)
def test_a_batch_of_a_mailing_does_not_scan_all_customers(store: Store) -> None:
    query = _customers_query(Topic.SPECIALS, MOMENT.date(), is_locking=False)
    asked: list[str] = []
    with store.reading() as session:
        driver = session.connection().connection.driver_connection
        assert driver
        driver.set_trace_callback(asked.append)
        assert session.execute(query, {"customer_ids": [1, 2]}).all() == []
        driver.set_trace_callback(None)
        steps = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {asked[-1]}")]
    assert "SEARCH customers USING INTEGER PRIMARY KEY (rowid=?)" in steps
    assert not any(step.startswith(("SCAN customers", "SCAN preferences", "SCAN suppressions")) for step in steps)
