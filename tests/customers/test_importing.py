"""Importing customers: evidence is consent, a no stays a no, and every bad line gets a reason."""

import csv
import io
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import audience, choose, frequencies, history, may_write_to
from feedback_app.customers.importing import services as importing
from feedback_app.customers.importing.csv_rows import ImportRefused
from feedback_app.customers.importing.services import ImportReport, import_customers
from feedback_app.customers.models import (
    ConsentAction,
    ConsentChannel,
    ConsentEvent,
    Customer,
    Frequency,
    NameDisplay,
    Suppression,
    SuppressionReason,
)
from feedback_app.customers.services import find_customer, find_or_add_customer, name_of, person
from feedback_app.customers.topics import Topic
from feedback_app.db.setup import vault_of
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY
from tests.support.people import ALICE, BOB, welcome
from tests.support.shop import Shop

EVIDENCE = "Signed up at the Christmas market 2006, list number 3"


def bring(store: Store, folder: Path, content: str | bytes, topic: Topic = Topic.SPECIALS) -> ImportReport:
    path = folder / "customers.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return import_customers(store, path, topic=topic, evidence=EVIDENCE, now=OPPS_DAY)


def names(store: Store, topic: Topic = Topic.SPECIALS) -> dict[str, str | None]:
    with store.reading() as session:
        return {one.address: one.name for one in audience(session, topic, now=OPPS_DAY)}


def test_an_import_counts_as_consent_to_its_topic_only(store: Store, tmp_path: Path) -> None:
    report = bring(store, tmp_path, "email,name,name_display\nAlice@Example.com,Alice Adams,first\nbob@example.org,,\n")
    assert (report.added, report.known, report.suppressed, report.refused) == (2, 0, 0, [])
    assert names(store) == {"Alice@Example.com": "Alice", "bob@example.org": None}
    assert names(store, Topic.NEWS) == {}
    with store.reading() as session:
        alice = find_customer(session, Address.parse("alice@example.com"))
        assert alice is not None
        [event] = history(session, alice)
    assert (event.action, event.channel, event.evidence) == (ConsentAction.GIVEN, ConsentChannel.IMPORT, EVIDENCE)
    assert event.at == OPPS_DAY


def test_a_second_run_changes_nothing(store: Store, tmp_path: Path) -> None:
    lines = "email,name\nalice@example.com,Alice Adams\nbob@example.org,Bob\n"
    bring(store, tmp_path, lines)
    before = dump(store)
    report = bring(store, tmp_path, lines)
    assert (report.added, report.known) == (0, 2)
    assert dump(store) == before


def dump(store: Store) -> list[object]:
    with store.reading() as session:
        tables = [Customer.__table__, ConsentEvent.__table__]
        return [tuple(row) for table in tables for row in session.execute(select(table))]


def test_an_import_never_turns_a_no_into_a_yes(store: Store, tmp_path: Path) -> None:
    number = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.NEVER)
    report = bring(store, tmp_path, "email\nALICE@EXAMPLE.COM\n")
    assert (report.added, report.known) == (0, 1)
    with store.reading() as session:
        alice = session.get_one(Customer, number)
        assert frequencies(session, alice) == {Topic.SPECIALS: Frequency.NEVER}
        assert not may_write_to(session, alice, Topic.SPECIALS, now=OPPS_DAY)


def test_an_import_does_not_bring_back_the_unsubscribed(store: Store, tmp_path: Path) -> None:
    bring(store, tmp_path, "email\nalice@example.com\n")
    with store.writing() as session:
        alice = find_customer(session, Address.parse("alice@example.com"))
        assert alice is not None
        how = {"channel": ConsentChannel.ONE_CLICK, "wording": "No more", "now": OPPS_DAY}
        choose(session, alice, Topic.SPECIALS, Frequency.NEVER, **how)  # type: ignore[arg-type]
    bring(store, tmp_path, "email\nalice@example.com\n")
    assert names(store) == {}


def test_a_suppressed_address_is_counted_and_left_out(store: Store, tmp_path: Path) -> None:
    with store.writing() as session:
        fingerprint = vault_of(session).fingerprint(Address.parse("alice@example.com").key)
        session.add(Suppression(fingerprint=fingerprint, reason=SuppressionReason.ERASED, at=OPPS_DAY))
    report = bring(store, tmp_path, "email\nAlice@example.com\nbob@example.org\n")
    assert (report.added, report.suppressed) == (1, 1)
    assert list(names(store)) == ["bob@example.org"]


def test_an_import_neither_erases_nor_replaces_a_name(store: Store, tmp_path: Path) -> None:
    with store.writing() as session:
        bob = find_or_add_customer(session, Address.parse(BOB.address), now=OPPS_DAY)
        assert bob.confirmed_at is None
    number = welcome(store, ALICE, now=OPPS_DAY, named=NameDisplay.FULL)
    bring(store, tmp_path, "email,name,name_display\nalice@example.com,,\nbob@example.org,Bob Brown,\n", Topic.NEWS)
    bring(store, tmp_path, "email,name,name_display\nalice@example.com,Somebody Else,undisclosed\n", Topic.SPECIALS)
    with store.reading() as session:
        alice, found = session.get_one(Customer, number), find_customer(session, Address.parse(BOB.address))
        assert found is not None
        assert (name_of(session, alice), alice.name_display) == ("Alice Adams", NameDisplay.FULL)
        assert (name_of(session, found), found.name_display) == ("Bob Brown", NameDisplay.UNDISCLOSED)
        assert found.confirmed_at == OPPS_DAY
        assert person(session, found).name is None


def test_one_person_on_many_lines_is_one_customer(store: Store, tmp_path: Path) -> None:
    report = bring(store, tmp_path, "email\nalice@example.com\nALICE@example.com\n alice@EXAMPLE.com \n")
    assert (report.added, report.known) == (1, 2)
    assert list(names(store)) == ["alice@example.com"]


BAD_LINES = {
    "no address": "not-an-address,",
    "two hundred addresses in one cell": '"' + ";".join(f"a{i}@example.com" for i in range(200)) + '",',
    "two addresses and a comma": '"a@example.com, b@example.com",',
    "a formula for a name": "eve@example.com,=HYPERLINK(A1)",
    "a formula that starts with a plus": "eve@example.com,+1+1",
    "a header in a name": '"eve@example.com","Eve\nBcc: everybody"',
    "a header behind a carriage return": '"eve@example.com","Eve\rBcc: everybody"',
    "the encoded line break of 121650": "eve@example.com,x=?UTF-8?Q?=0A?=Bcc: e",
    "an address for a name": "eve@example.com,bob@example.org",
    "more cells than the header": "eve@example.com,Eve,first,more,still more",
    "an unknown way to be named": "eve@example.com,Eve,loudly",
    "a name beyond all measure": "eve@example.com," + "E" * 500,
    "a direction override": "eve@example.com,Eve\u202egnp",
    "a NUL": "eve@example.com,E\0ve",
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_gets_a_reason_and_harms_no_other_line(store: Store, tmp_path: Path, line: str) -> None:
    report = bring(store, tmp_path, f"email,name,name_display\nalice@example.com,,\n{line}\nbob@example.org,,\n")
    assert list(names(store)) == ["alice@example.com", "bob@example.org"]
    [refusal] = report.refused
    assert refusal.line == 3
    assert refusal.reason
    assert "\n" not in refusal.reason
    for secret in ("eve", "everybody", "a1@", "bob"):
        assert secret not in refusal.reason.lower()


def test_a_latin_1_file_loses_only_the_lines_that_are_not_utf_8(store: Store, tmp_path: Path) -> None:
    content = "email,name\nalice@example.com,Alice\nrene@example.com,René\nbob@example.org,Bob\n".encode("latin-1")
    report = bring(store, tmp_path, content)
    assert [refusal.line for refusal in report.refused] == [3]
    assert "UTF-8" in report.refused[0].reason
    assert list(names(store)) == ["alice@example.com", "bob@example.org"]


def test_a_byte_order_mark_is_ignored(store: Store, tmp_path: Path) -> None:
    assert bring(store, tmp_path, "\ufeffemail,name\r\nalice@example.com,René\r\n").added == 1


@pytest.mark.parametrize("content", ["email\nalice@example.com\n".encode("utf-16"), b"name\nAlice\n", b"", b"\0\0\0"])
def test_a_file_that_is_not_such_a_csv_is_refused(store: Store, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ImportRefused) as refused:
        bring(store, tmp_path, content)
    assert "\n" not in str(refused.value)
    assert names(store) == {}


def test_a_ten_megabyte_line_is_refused_without_filling_memory(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.write(b"email,name\nalice@example.com,\neve@example.com,")
        for _ in range(160):
            file.write(b"x" * 65536)
        file.write(b"\nbob@example.org,\n")
    tracemalloc.start()
    report = import_customers(store, path, topic=Topic.SPECIALS, evidence=EVIDENCE, now=OPPS_DAY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000
    assert [refusal.line for refusal in report.refused] == [3]
    assert list(names(store)) == ["alice@example.com", "bob@example.org"]


def test_an_unclosed_quotation_mark_spoils_no_good_line(store: Store, tmp_path: Path) -> None:
    good = "".join(f"c{i}@example.com,\n" for i in range(3000))
    report = bring(store, tmp_path, f'email,name\nalice@example.com,\neve@example.com,"Eve\n{good}')
    assert [(refusal.line, refusal.reason) for refusal in report.refused] == [
        (3, "a quotation mark that is never closed")
    ]
    assert report.added == 3001


def test_two_stray_quotation_marks_cost_only_their_two_lines(store: Store, tmp_path: Path) -> None:
    lines = 'email,name\neve@example.com,"Eve\nalice@example.com,\nmallory@example.com,Mal"lory\nbob@example.org,\n'
    report = bring(store, tmp_path, lines)
    assert list(names(store)) == ["alice@example.com", "bob@example.org"]
    assert [refusal.line for refusal in report.refused] == [2, 4]


@pytest.mark.parametrize("header", ['"email"x,name', '"email,name', "email;name", 'na"me'])
def test_a_bad_header_is_refused_in_one_line(store: Store, tmp_path: Path, header: str) -> None:
    with pytest.raises(ImportRefused, match="line 1"):
        bring(store, tmp_path, f"{header}\nalice@example.com,Alice\n")


def test_all_bad_lines_are_counted_and_the_first_thousand_named(store: Store, tmp_path: Path) -> None:
    report = bring(store, tmp_path, "email\n" + "nobody\n" * 2500)
    assert report.left_out == 2500
    assert len(report.refused) == 1000


def test_a_line_break_in_a_quoted_cell_keeps_line_numbers_right(store: Store, tmp_path: Path) -> None:
    report = bring(store, tmp_path, 'email,note\nalice@example.com,"one\ntwo"\nnobody,\nbob@example.org,\n')
    assert [refusal.line for refusal in report.refused] == [4]
    assert report.added == 2


@pytest.mark.parametrize("evidence", ["", "  ", "the list of bob@example.org"])
def test_empty_evidence_or_an_address_in_it_is_refused(store: Store, tmp_path: Path, evidence: str) -> None:
    path = tmp_path / "one.csv"
    path.write_text("email\nalice@example.com\n", encoding="utf-8")
    with pytest.raises(ImportRefused, match="--evidence") as refused:
        import_customers(store, path, topic=Topic.SPECIALS, evidence=evidence, now=OPPS_DAY)
    assert "bob@" not in str(refused.value)
    assert names(store) == {}


def test_an_interrupted_import_keeps_whole_batches_and_can_be_rerun(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "BATCH", 3)
    path = tmp_path / "ten.csv"
    path.write_text("email\n" + "".join(f"c{i}@example.com\n" for i in range(10)), encoding="utf-8")

    def stop(_position: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_customers(store, path, topic=Topic.SPECIALS, evidence=EVIDENCE, now=OPPS_DAY, progress=stop)
    assert len(names(store)) == 3
    report = import_customers(store, path, topic=Topic.SPECIALS, evidence=EVIDENCE, now=OPPS_DAY)
    assert (report.added, report.known) == (7, 3)
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(ConsentEvent)) == 10


def test_two_imports_of_one_list_at_once_add_everybody_once(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("email\n" + "".join(f"c{i}@example.com\n" for i in range(3000)), encoding="utf-8")

    upside_down = tmp_path / "upside-down.csv"
    upside_down.write_text("email\n" + "".join(f"c{i}@example.com\n" for i in range(2999, -1, -1)), encoding="utf-8")

    def run(number: int) -> ImportReport:
        return import_customers(
            store, (path, upside_down)[number], topic=Topic.SPECIALS, evidence=EVIDENCE, now=OPPS_DAY
        )

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(run, range(2)))
    assert sum(report.added for report in reports) == 3000
    assert sum(report.known for report in reports) == 3000
    with store.reading() as session:
        assert session.scalar(select(func.count()).select_from(ConsentEvent)) == 3000


def test_memory_stays_flat_however_long_the_list(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 200)
    peaks = []
    for number in (400, 2_400):
        path = tmp_path / f"{number}.csv"
        lines = "".join(f"c{number}x{i}@example.com,Customer Number{i}\n" for i in range(number))
        path.write_text("email,name\n" + lines, encoding="utf-8")
        tracemalloc.start()
        import_customers(store, path, topic=Topic.SPECIALS, evidence=EVIDENCE, now=OPPS_DAY)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.text(max_size=30), max_size=4), max_size=8))
def test_no_odd_table_breaks_an_import(sqlite_store: Store, tmp_path: Path, cells: list[list[str]]) -> None:
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["email", "name", "name_display"])
    writer.writerows(cells)
    report = bring(sqlite_store, tmp_path, table.getvalue().encode("utf-8", "surrogatepass"))
    assert report.added + report.known + len(report.refused) <= len(cells) + table.getvalue().count("\n")


def test_the_command_reports_counts_and_bad_lines(shop: Shop) -> None:
    path = shop.folder / "list.csv"
    path.write_text("email,name\nalice@example.com,Alice\nnobody,\n", encoding="utf-8")
    order = ("customers", "import", str(path), "--topic", "specials", "--evidence", EVIDENCE)
    done = shop.run(*order, expect=3)
    assert "1 added, 0 already known, 0 suppressed, 1 refused." in done.stdout
    assert "line 3:" in done.stdout
    assert done.stderr.count("\n") == 1
    again = shop.run(*order, "--json", expect=3)
    assert '"known": 1' in again.stdout
    assert "alice" not in again.stdout + again.stderr + done.stdout + done.stderr
    shop.run("customers", "import", "nowhere.csv", "--topic", "specials", "--evidence", EVIDENCE, expect=1)
    shop.run("customers", "import", str(path), "--topic", "gossip", "--evidence", EVIDENCE, expect=2)
