"""Backups: made while the shop works, without keys in them; and restores that forget nobody's no."""

import base64
import json
import os
import shutil
import stat
import sys
import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import JSON, Enum, LargeBinary, Table, TypeDecorator, delete, func, select, text
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session

from feedback_app.cli import undisclosed
from feedback_app.comments.models import Comment, CommentStatus, ConfirmationAsked, Following, Notice, Thread
from feedback_app.comments.posting import post_comment, prepare_text
from feedback_app.comments.services import change_status
from feedback_app.comments.spam.verdicts import Evidence, Rules
from feedback_app.comments.threads.registry import Post, register_posts
from feedback_app.config import Moderation, Settings, load_settings
from feedback_app.console import Context
from feedback_app.customers.address_changes import AddressSide, accept_change, request_change
from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import choose, frequencies, history, may_write_to
from feedback_app.customers.importing.services import import_customers
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
from feedback_app.customers.services import address_of, find_customer, name_of, request_link
from feedback_app.customers.topics import Topic
from feedback_app.db.base import Base
from feedback_app.db.setup import StoreProblem, open_store
from feedback_app.db.store import Store
from feedback_app.heartbeats import PATIENCE, WorkerKind, beat
from feedback_app.letter_queue import LetterKind, LetterRequest
from feedback_app.mailing.delivery.worker import MailWorker, mail_worker
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.mailings import services as mailings
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import Bounce, BounceKind, Delivery, DeliveryState, DigestItem, Mailing, MailingState
from feedback_app.operations import restore as restoring
from feedback_app.operations.backup import BackupProblem, Contents, back_up, examine
from feedback_app.operations.pg_dump import dumped_rows
from feedback_app.operations.restore import Restored, plan_restore, restore
from feedback_app.operations.snapshot import TABLES
from feedback_app.privacy.erasing import CommentsFate, erase_customer
from feedback_app.security import keys
from feedback_app.security.crypto import KeyProblem
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import POSTGRESQL, SQLITE
from tests.support.keys import ADDRESS_KEY, SECRET_KEY
from tests.support.people import ALICE, BOB, CAROL, Person, welcome
from tests.support.postgres import find_postgres
from tests.support.smtp import MailServer

LATER = OPPS_DAY + timedelta(days=1)
MONDAY = "monday.backup"
EACH, NEVER = Frequency.EACH, Frequency.NEVER


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = find_postgres()
    assert programs
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def monday(tmp_path: Path) -> Path:
    return tmp_path / MONDAY


@pytest.fixture
def run(settings: Settings, clock: object) -> Callable[..., Result]:  # noqa: ARG001 - the time is pinned
    def command(*arguments: str, expect: int = 0, settings: Settings = settings) -> Result:
        context = Context()
        context.__dict__["settings"] = settings
        result = CliRunner().invoke(undisclosed, arguments, obj=context)
        assert result.exit_code == expect, (result.output, result.exception)
        assert "@example" not in result.output
        return result

    return command


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table; but for the owners' sessions, which a restore ends."""
    with store.reading() as session:
        return {
            table.name: sorted((tuple(row) for row in session.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
            if table.name != "owner_sessions"
        }


def people(store: Store) -> dict[str, str | None]:
    """Every address and name, opened."""
    with store.reading() as session:
        rows = session.scalars(select(Customer)).all()
        return {address_of(session, row).written: name_of(session, row) for row in rows}


def find(store: Store, person: Person) -> Customer | None:
    with store.reading() as session:
        return find_customer(session, Address.parse(person.address))


def writable(store: Store, person: Person, topic: Topic = Topic.SPECIALS) -> bool:
    with store.reading() as session:
        customer = find_customer(session, Address.parse(person.address))
        return customer is not None and may_write_to(session, customer, topic, now=LATER)


def say(store: Store, person: Person, frequency: Frequency, *, now: datetime = LATER) -> None:
    with store.writing() as session:
        customer = find_customer(session, Address.parse(person.address))
        assert customer
        topic, channel = Topic.SPECIALS, ConsentChannel.ONE_CLICK
        choose(session, customer, topic, frequency, channel=channel, wording=topic.info.wording, now=now)


def comment(store: Store, person: Person, words: str, *, now: datetime = OPPS_DAY) -> int:
    with store.writing() as session:
        register_posts(session, [Post("/2007/10/opps.html", "Opps!", OPPS_DAY)])
        session.flush()
        made = post_comment(
            session,
            session.scalars(select(Thread.id)).one(),
            prepare_text(person.name, words, Rules(Moderation.NONE)),
            address=Address.parse(person.address),
            parent=None,
            rules=Rules(Moderation.NONE),
            evidence=Evidence(()),
            now=now,
        )
        return made.id


def hold(store: Store, *, now: datetime = OPPS_DAY, slug: str = "free-socks") -> None:
    with store.writing() as session:
        mailings.hold(
            session, MailingSource(slug, Topic.SPECIALS, "Free socks", "friend", "Hello"), minutes=10, now=now
        )


def damage(settings: Settings, backend: str) -> None:
    """Make an end of the store."""
    if backend == SQLITE:
        Path(settings.store_url.removeprefix("sqlite:///")).unlink()
        return
    store = open_store(settings)
    with store.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    store.close()


def put_back(settings: Settings, file: Path, *, now: datetime = LATER) -> Restored:
    return restore(settings, plan_restore(settings, file), now=now)


@pytest.fixture
def busy(store: Store, tmp_path: Path) -> Store:
    """A store with something in every corner."""
    welcome(store, ALICE, now=OPPS_DAY, named=NameDisplay.FULL, specials=EACH, news=Frequency.WEEKLY)
    welcome(store, BOB, now=OPPS_DAY, specials=EACH)
    welcome(store, CAROL, now=OPPS_DAY, specials=NEVER)
    first = comment(store, ALICE, "Use **Bcc**.\n\tA tab, a backslash \\N \\. and “quotes”.\n\\.\nEnd")
    comment(store, BOB, "Yes!")
    with store.writing() as session:
        session.add(
            Suppression(fingerprint=bytes(range(32)), reason=SuppressionReason.BOUNCED, at=OPPS_DAY),
        )
        session.get_one(Comment, first + 1).parent_id = first
        customer = find_customer(session, Address.parse(BOB.address))
        assert customer
        mailing = Mailing(
            slug="sent-before", topic=Topic.NEWS, subject="S", nameless="friend", body="B", created_at=OPPS_DAY,
            due_at=OPPS_DAY, started_at=OPPS_DAY, ended_at=OPPS_DAY, state=MailingState.SENT,
        )  # fmt: skip
        session.add(mailing)
        session.flush()
        answered = {"state": DeliveryState.ACCEPTED, "changed_at": OPPS_DAY, "reason": "250 ok", "message_id": "x"}
        delivery = Delivery(mailing_id=mailing.id, customer_id=customer.id, attempts=1, **answered)
        session.add(delivery)
        session.flush()
        session.add(DigestItem(delivery_id=delivery.id, put_off_at=OPPS_DAY, digest_id=mailing.id))
        session.add(Undo(customer_id=customer.id, at=OPPS_DAY, choices="{}", name=customer.name, after="x"))
        session.add(
            LetterRequest(
                kind=LetterKind.PREFERENCES_LINK,
                customer_id=customer.id,
                asked_at=OPPS_DAY,
                sent_at=OPPS_DAY,
                next_try_at=OPPS_DAY,
            )
        )
        following = Following(
            thread_id=session.get_one(Comment, first).thread_id, customer_id=customer.id, asked_at=OPPS_DAY
        )
        session.add(following)
        session.flush()
        session.add(Notice(following_id=following.id, comment_id=first, at=OPPS_DAY))
        session.add(ConfirmationAsked(fingerprint=bytes(32), at=OPPS_DAY))
    lines = "".join(f"reader{number}@example.com\n" for number in range(50))
    (tmp_path / "list.csv").write_text(f"email\n{lines}", encoding="utf-8")
    import_customers(store, tmp_path / "list.csv", topic=Topic.NEWS, evidence="The fair of 2007", now=OPPS_DAY)
    with store.writing() as session:
        for table in Base.metadata.sorted_tables:
            if table.name != "workers" and not session.execute(select(table).limit(1)).first():
                session.execute(table.insert().values(some_row(session, table)))
    return store


def some_row(session: Session, table: Table) -> dict[str, Any]:
    """What could stand in a table that no story above fills: what has to be there, by the columns' types."""
    row: dict[str, Any] = {}
    for column in table.columns:
        if column.nullable or (column.autoincrement is True and column.primary_key):
            continue
        kind = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
        if column.foreign_keys:
            [key] = column.foreign_keys
            row[column.name] = session.scalar(select(key.column).limit(1))
        elif isinstance(kind, Enum):
            row[column.name] = kind.python_type(kind.enums[0]) if kind.enum_class else kind.enums[0]
        elif isinstance(kind, JSON):
            row[column.name] = []
        elif isinstance(kind, LargeBinary):
            row[column.name] = bytes(kind.length or 32)
        else:
            row[column.name] = {str: "x", int: 1, bool: True, datetime: OPPS_DAY, date: OPPS_DAY.date()}[
                kind.python_type
            ]
    return row


def test_everybody_and_everything_is_there_again_after_the_store_was_lost(
    busy: Store, settings: Settings, backend: str, monday: Path, run: Callable[..., Result]
) -> None:
    before, known = everything(busy), people(busy)
    assert [name for name in before if not before[name]] in ([], ["workers"]), "every table has a row to lose"
    run("db", "backup", str(monday))
    busy.close()
    damage(settings, backend)
    assert "could not be carried over" in run("db", "restore", str(monday)).output
    after = open_store(settings)
    assert everything(after) == before
    assert people(after) == known
    with pytest.raises(DatabaseError, match="only ever added to"), after.writing() as session:
        session.execute(text("DELETE FROM consent_events"))
    after.close()


def test_a_backup_made_while_somebody_writes_is_of_one_moment(store: Store, settings: Settings, monday: Path) -> None:
    stop, written = threading.Event(), []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            person = Person(f"Reader {number}", f"reader{number}@example.com")
            written.append(welcome(store, person, now=OPPS_DAY, specials=EACH, news=EACH))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(written) < 20:
            assert writer.is_alive()
        sure = len(written)
        for _ in range(3):
            back_up(store, monday, overwrite=True)
    finally:
        stop.set()
        writer.join()
    put_back(settings, monday)
    with store.reading() as session:
        found = [session.scalar(select(func.count()).select_from(model)) for model in (Customer, Preference)]
    assert found[0] is not None
    assert sure <= found[0]
    assert found[1] == 2 * found[0], "a person's choices come with the person"
    assert len(people(store)) == found[0]


def test_a_backup_holds_no_key_and_no_address(
    empty_store_url: str, tmp_path: Path, monday: Path, run: Callable[..., Result]
) -> None:
    settings = load_settings({"UNDISCLOSED_INSTANCE": str(tmp_path / "own"), "UNDISCLOSED_STORE_URL": empty_store_url})
    store = open_store(settings)
    welcome(store, ALICE, now=OPPS_DAY, named=NameDisplay.FULL, specials=EACH)
    said = run("db", "backup", str(monday), settings=settings).output
    assert str(settings.keys / "address.key") in said
    assert "The keys are not in it" in said
    texts = [monday.read_bytes()]
    if texts[0].startswith(b"PGDMP"):
        texts.append(b"".join(line for _, _, line in dumped_rows(monday)))
    ring = store.info["vault"].ring
    raw = [base64.urlsafe_b64decode((settings.keys / "address.key").read_text().strip()), ring.lookup]
    canaries = [ALICE.address.encode(), ALICE.name.encode()]
    for key in raw:
        assert len(key) == 32
        encodings = (base64.b64encode(key), base64.urlsafe_b64encode(key), key.hex().encode())
        canaries += [key, *(form.rstrip(b"=") for form in encodings), key.hex().upper().encode()]
    assert not [canary for canary in canaries for content in texts if canary in content]
    store.close()


def test_only_the_owner_can_read_a_backup_and_nothing_else_is_left_beside_it(busy: Store, monday: Path) -> None:
    contents = back_up(busy, monday)
    assert stat.S_IMODE(monday.stat().st_mode) == 0o600
    assert [path.name for path in monday.parent.glob(f"*{MONDAY}*")] == [MONDAY]
    assert [path.name for path in monday.parent.glob(".*")] == []
    assert contents.rows["customers"] == 53


def test_a_backup_says_in_numbers_what_is_in_it(busy: Store, monday: Path, run: Callable[..., Result]) -> None:
    assert busy
    document = json.loads(run("db", "backup", str(monday), "--json").stdout)
    assert {name: document[name] for name in ("customers", "comments", "deliveries")} == {
        "customers": 53, "comments": 2, "deliveries": 1,
    }  # fmt: skip
    assert document["bytes"] == monday.stat().st_size
    assert document["keys"] == ["UNDISCLOSED_ADDRESS_KEY", "UNDISCLOSED_SECRET_KEY"]
    assert ADDRESS_KEY not in json.dumps(document)


def test_a_backup_never_replaces_a_file_unless_told(busy: Store, monday: Path, run: Callable[..., Result]) -> None:
    assert busy
    monday.write_text("somebody's letter")
    assert "is there already" in run("db", "backup", str(monday), expect=1).output
    assert monday.read_text() == "somebody's letter"
    run("db", "backup", str(monday), "--overwrite")
    assert examine(monday).rows["customers"] == 53


def test_a_backup_into_a_folder_that_is_not_there_is_one_line(run: Callable[..., Result], tmp_path: Path) -> None:
    said = run("db", "backup", str(tmp_path / "nowhere" / "file"), expect=1).output
    assert said.count("\n") == 1
    assert "can't be written" in said


@pytest.mark.parametrize("how", ["garbage", "empty", "truncated", "changed in the middle", "another program's"])
def test_a_damaged_backup_is_refused_in_one_line_and_the_store_stays_as_it_is(
    busy: Store, monday: Path, run: Callable[..., Result], how: str, backend: str
) -> None:
    back_up(busy, monday)
    whole, before = monday.read_bytes(), everything(busy)
    if how == "another program's":
        monday.write_bytes(b"SQLite format 3\0" + b"\0" * 100 if backend == SQLITE else b"PGDMP" + b"\0" * 100)
    elif how == "changed in the middle":
        # A third of it: a few bytes could fall on a page on which nothing is written.
        third = len(whole) // 3
        monday.write_bytes(whole[:third] + os.urandom(third) + whole[2 * third :])
    else:
        cut = {"garbage": b"not a backup at all" * 99, "empty": b"", "truncated": whole[: len(whole) * 2 // 3]}
        monday.write_bytes(cut[how])
    said = run("db", "restore", str(monday), "--overwrite", "--yes", expect=1).output
    assert said.count("\n") == 1, said
    assert MONDAY in said
    assert everything(busy) == before


def test_a_backup_of_another_shop_is_refused(
    busy: Store, monday: Path, run: Callable[..., Result], make_settings: Callable[..., Settings]
) -> None:
    back_up(busy, monday)
    stranger = make_settings(address_key="the key of somebody else's shop")
    said = run("db", "restore", str(monday), "--overwrite", "--yes", expect=1, settings=stranger).output
    assert "address key" in said
    assert said.count("\n") == 1


def test_a_backup_of_a_newer_program_is_refused(busy: Store, monday: Path, run: Callable[..., Result]) -> None:
    with busy.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    back_up(busy, monday)
    assert "newer (9999)" in run("db", "restore", str(monday), "--overwrite", "--yes", expect=1).output


def test_a_backup_of_the_other_kind_of_store_is_refused(busy: Store, monday: Path, settings: Settings) -> None:
    back_up(busy, monday)
    other = "postgresql://postgres@/nowhere" if busy.dialect == SQLITE else f"sqlite:///{monday.parent / 'o.db'}"
    elsewhere = load_settings(
        {"UNDISCLOSED_INSTANCE": str(settings.instance), "UNDISCLOSED_STORE_URL": other,
         "UNDISCLOSED_ADDRESS_KEY": ADDRESS_KEY}
    )  # fmt: skip
    with pytest.raises(BackupProblem, match="this backup is of a"):
        plan_restore(elsewhere, monday)


def test_a_backup_without_its_keys_is_refused_and_no_key_is_made(busy: Store, monday: Path, tmp_path: Path) -> None:
    back_up(busy, monday)
    settings = load_settings(
        {"UNDISCLOSED_INSTANCE": str(tmp_path / "new"), "UNDISCLOSED_STORE_URL": str(busy.engine.url)}
    )
    with pytest.raises(KeyProblem, match="missing"):
        plan_restore(settings, monday)
    assert not settings.keys.exists()


def test_a_store_with_somebody_in_it_is_not_replaced_unless_told(
    busy: Store, monday: Path, run: Callable[..., Result]
) -> None:
    back_up(busy, monday)
    welcome(busy, Person("Dora Day", "dora@example.com"), now=LATER)
    before = everything(busy)
    assert "--overwrite" in run("db", "restore", str(monday), expect=1).output
    assert everything(busy) == before
    document = json.loads(run("db", "restore", str(monday), "--overwrite", "--json").stdout)
    assert document["restored"] == {"customers": 53, "comments": 2, "deliveries": 1}
    kept = examine(Path(document["kept"]))
    assert kept.rows["customers"] == 54
    assert stat.S_IMODE(Path(document["kept"]).stat().st_mode) == 0o600


def test_an_empty_store_is_replaced_without_asking(busy: Store, monday: Path, settings: Settings, backend: str) -> None:
    back_up(busy, monday)
    before = everything(busy)
    busy.close()
    damage(settings, backend)
    open_store(settings).close()
    plan = plan_restore(settings, monday)
    assert not plan.replaces
    assert restore(settings, plan, now=LATER).kept is None
    assert everything(busy) == before


def test_a_restore_waits_until_the_workers_are_stopped(
    busy: Store, monday: Path, settings: Settings, run: Callable[..., Result]
) -> None:
    back_up(busy, monday)
    with busy.writing() as session:
        beat(session, "a worker", WorkerKind.MAILER, now=OPPS_DAY)
    before = everything(busy)
    said = run("db", "restore", str(monday), "--overwrite", "--yes", expect=1).output
    assert "mailer" in said
    assert "undisclosed serve" in said
    assert everything(busy) == before
    put_back(settings, monday, now=OPPS_DAY + PATIENCE)


def test_somebody_who_has_the_store_open_sees_what_was_restored_and_can_go_on(
    busy: Store, monday: Path, settings: Settings
) -> None:
    back_up(busy, monday)
    before = people(busy)
    welcome(busy, Person("Dora Day", "dora@example.com"), now=LATER)
    with busy.reading() as session:
        assert session.scalar(select(func.count()).select_from(Customer)) == 54
        put = threading.Thread(target=put_back, args=(settings, monday))
        if busy.dialect == SQLITE:
            put.start()
            put.join()
            assert session.scalar(select(func.count()).select_from(Customer)) == 54, "a reader keeps its moment"
    if busy.dialect != SQLITE:
        put.start()
        put.join()
    assert people(busy) == before
    welcome(busy, Person("Emma Eve", "emma@example.com"), now=LATER)
    assert len(people(busy)) == 54


def test_an_unsubscribe_after_the_backup_survives_the_restore(busy: Store, monday: Path, settings: Settings) -> None:
    back_up(busy, monday)
    say(busy, BOB, NEVER)
    done = put_back(settings, monday, now=LATER + timedelta(hours=1))
    assert done.carried
    assert done.carried.choices == 1
    assert not writable(busy, BOB)
    assert writable(busy, ALICE)
    with busy.reading() as session:
        bob = find_customer(session, Address.parse(BOB.address))
        assert bob
        assert frequencies(session, bob)[Topic.SPECIALS] is NEVER
        assert history(session, bob)[-1].channel is ConsentChannel.RESTORE


def test_a_yes_that_is_later_than_the_no_before_it_stays_a_yes(busy: Store, monday: Path, settings: Settings) -> None:
    say(busy, BOB, NEVER, now=OPPS_DAY + timedelta(hours=1))
    sunday = monday.with_name("sunday.backup")
    back_up(busy, sunday)
    say(busy, BOB, EACH, now=OPPS_DAY + timedelta(hours=2))
    back_up(busy, monday)
    put_back(settings, sunday)
    assert not writable(busy, BOB)
    put_back(settings, monday)
    assert writable(busy, BOB)


def test_somebody_who_came_and_said_no_after_the_backup_is_not_won_back_by_an_import(
    busy: Store, monday: Path, settings: Settings, tmp_path: Path
) -> None:
    back_up(busy, monday)
    dora = Person("Dora Day", "dora@example.com")
    number = welcome(busy, dora, now=LATER, specials=EACH)
    say(busy, dora, NEVER)
    put_back(settings, monday)
    (tmp_path / "again.csv").write_text(f"email\n{dora.address}\n", encoding="utf-8")
    import_customers(busy, tmp_path / "again.csv", topic=Topic.SPECIALS, evidence="The same fair", now=LATER)
    assert not writable(busy, dora)
    found = find(busy, dora)
    assert found
    assert found.id == number, "the links in her letters are hers still"


def test_somebody_who_was_erased_after_the_backup_is_erased_again(
    busy: Store, monday: Path, settings: Settings
) -> None:
    back_up(busy, monday)
    with busy.writing() as session:
        alice = find_customer(session, Address.parse(ALICE.address))
        assert alice
        erase_customer(session, alice, now=LATER, comments=CommentsFate.DELETED)
    done = put_back(settings, monday, now=LATER + timedelta(hours=1))
    assert done.carried
    assert (done.carried.erased, done.carried.suppressions, done.carried.comments) == (1, 1, 1)
    assert find(busy, ALICE) is None
    with busy.reading() as session:
        comments = {row.author: row for row in session.scalars(select(Comment))}
        assert set(comments) == {"undisclosed", BOB.name}
        assert (comments["undisclosed"].text, comments["undisclosed"].status) == ("", CommentStatus.DELETED)
        assert session.scalar(select(func.count()).select_from(Suppression)) == 2


def test_a_bounce_a_pause_and_a_name_undisclosed_since_survive_too(
    busy: Store, monday: Path, settings: Settings
) -> None:
    back_up(busy, monday)
    with busy.writing() as session:
        alice, bob = (find_customer(session, Address.parse(one.address)) for one in (ALICE, BOB))
        assert alice
        assert bob
        alice.name_display, alice.pause_until = NameDisplay.UNDISCLOSED, (LATER + timedelta(days=30)).date()
        session.add(Suppression(fingerprint=bob.fingerprint, reason=SuppressionReason.BOUNCED, at=LATER))
    put_back(settings, monday)
    assert not writable(busy, ALICE)
    assert not writable(busy, BOB)
    found = find(busy, ALICE)
    assert found
    assert found.name_display is NameDisplay.UNDISCLOSED


def test_a_comment_that_was_taken_down_since_stays_down(busy: Store, monday: Path, settings: Settings) -> None:
    back_up(busy, monday)
    with busy.writing() as session:
        [number] = session.scalars(select(Comment.id).where(Comment.author == BOB.name))
        change_status(session, [number], CommentStatus.REJECTED, now=LATER)
    put_back(settings, monday)
    with busy.reading() as session:
        assert session.get_one(Comment, number).status is CommentStatus.REJECTED


def test_a_number_that_was_given_is_never_given_to_somebody_else(
    busy: Store, monday: Path, settings: Settings, backend: str
) -> None:
    back_up(busy, monday)
    lost = [welcome(busy, Person(f"L {n}", f"lost{n}@example.com"), now=LATER, specials=EACH) for n in range(3)]
    written = comment(busy, BOB, "Later", now=LATER)
    put_back(settings, monday)
    dora = Person("Dora Day", "dora@example.com")
    assert welcome(busy, dora, now=LATER) > max(lost)
    assert comment(busy, BOB, "Later still", now=LATER) > written
    busy.close()
    damage(settings, backend)
    put_back(settings, monday)
    assert welcome(busy, dora, now=LATER) > max(lost) + 1000


def test_a_mailing_that_went_out_after_the_backup_is_not_sent_twice(
    busy: Store, monday: Path, make_settings: Callable[..., Settings], sink: MailServer, clock: Clock
) -> None:
    settings = make_settings(smtp_url=sink.url)
    hold(busy)
    back_up(busy, monday)
    hold(busy, slug="second")
    clock.advance(minutes=11)
    with mail_worker(busy, settings, LetterContext(settings, keys.signer(settings))) as worker:
        work(worker)
        assert len(sink.letters) == 4
        put_back(settings, monday, now=clock.now())
        work(worker)
        clock.advance(days=1)
        work(worker)
    assert len(sink.letters) == 4
    with busy.reading() as session:
        for slug in ("free-socks", "second"):
            mailing = mailings.find_mailing(session, slug)
            assert mailing.state is MailingState.SENT
            assert mailings.counts(session, mailing)[DeliveryState.ACCEPTED] == 2
    with pytest.raises(mailings.MailingRefused, match="sent already"):
        hold(busy, slug="second")


def work(worker: MailWorker) -> None:
    worker.work_once()
    worker.sign_off()
    worker._last_heartbeat = None  # noqa: SLF001 - as if it were stopped and started


def test_a_mailing_cancelled_after_the_backup_stays_cancelled(busy: Store, monday: Path, settings: Settings) -> None:
    hold(busy)
    back_up(busy, monday)
    with busy.writing() as session:
        mailings.cancel(session, "free-socks", now=LATER)
    put_back(settings, monday)
    with busy.reading() as session:
        mailing = mailings.find_mailing(session, "free-socks")
        assert (mailing.state, mailing.reason) == (MailingState.CANCELLED, "cancelled by the owner")


def test_what_was_in_motion_stands_still_when_the_store_was_lost(
    busy: Store, monday: Path, settings: Settings, backend: str, run: Callable[..., Result]
) -> None:
    hold(busy)
    hold(busy, slug="held", now=LATER)
    with busy.writing() as session:
        mailings.release_due(session, now=OPPS_DAY + timedelta(minutes=11))
        sending = mailings.find_mailing(session, "free-socks")
        row = session.scalars(select(Delivery).where(Delivery.mailing_id == sending.id)).first()
        assert row
        row.state, row.worker_id = DeliveryState.SUBMITTING, "gone"
        request_link(session, Address.parse(CAROL.address), now=OPPS_DAY, quiet=True)
    back_up(busy, monday)
    busy.close()
    damage(settings, backend)
    document = json.loads(run("db", "restore", str(monday), "--json").stdout)
    # The letter with the link, and the copy of the mailing for the owner.
    assert document["stopped"] == {"mailings": 2, "in_doubt": 1, "letter_requests": 2, "sessions": 1}
    assert document["carried_over"] is None
    with busy.reading() as session:
        halted, held = mailings.find_mailing(session, "free-socks"), mailings.find_mailing(session, "held")
        assert (halted.state, held.state) == (MailingState.HALTED, MailingState.CANCELLED)
        assert halted.reason == "the store was restored: look at who got it before you resume"
        counts = mailings.counts(session, halted)
        assert (counts[DeliveryState.QUEUED], counts[DeliveryState.UNKNOWN]) == (1, 1)


def test_a_store_that_cannot_be_read_is_replaced_when_told_and_what_is_lost_is_said(
    busy: Store, monday: Path, settings: Settings, run: Callable[..., Result], backend: str
) -> None:
    back_up(busy, monday)
    before = everything(busy)
    busy.close()
    if backend == SQLITE:
        file = Path(settings.store_url.removeprefix("sqlite:///"))
        file.write_bytes(b"not a store any more " * 1000)
    else:
        with busy.engine.begin() as connection:
            connection.execute(text("ALTER TABLE preferences DROP COLUMN changed_at"))
        busy.close()
    assert "--overwrite" in run("db", "restore", str(monday), expect=1).output
    said = run("db", "restore", str(monday), "--overwrite", "--yes", expect=3).output
    assert "unsubscribes and erasures that came after the backup could not be carried over" in said
    assert everything(busy) == before
    if backend == SQLITE:
        [kept] = file.parent.glob("store.db.replaced-*")
        assert kept.read_bytes().startswith(b"not a store any more")


def test_a_restore_that_fails_leaves_the_store_as_it_was(
    busy: Store, monday: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    back_up(busy, monday)
    say(busy, BOB, NEVER)
    before = everything(busy)
    plan = plan_restore(settings, monday)

    def fail(*_: object, **__: object) -> None:
        message = "the disk is full"
        raise OSError(28, message, "store.db")

    monkeypatch.setattr(restoring, "stop_unfinished_work", fail)
    with pytest.raises(StoreProblem, match="nothing was restored"):
        restore(settings, plan, now=LATER)
    assert everything(busy) == before
    assert not list(monday.parent.rglob("*replaced-*"))


@pytest.mark.parametrize("backend", [POSTGRESQL])
def test_the_database_password_is_not_among_the_arguments_of_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, busy: Store, monday: Path
) -> None:
    real = shutil.which("pg_dump")
    fake = tmp_path / "fake" / "pg_dump"
    fake.parent.mkdir()
    record = tmp_path / "record"
    fake.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"open({str(record)!r}, 'w').write(repr((sys.argv, os.environ.get('PGPASSWORD'))))\n"
        f"os.execv({real!r}, [{real!r}, *sys.argv[1:]])\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    url = busy.engine.url.set(password="hunter2 and a blank").render_as_string(hide_password=False)
    settings = load_settings(
        {"UNDISCLOSED_INSTANCE": str(tmp_path / "instance"), "UNDISCLOSED_STORE_URL": url,
         "UNDISCLOSED_ADDRESS_KEY": ADDRESS_KEY, "UNDISCLOSED_SECRET_KEY": SECRET_KEY}
    )  # fmt: skip
    store = open_store(settings)
    back_up(store, monday)
    store.close()
    arguments, password = eval(record.read_text())  # noqa: S307 - our own fake wrote it
    assert password == "hunter2 and a blank"
    assert "hunter2" not in repr(arguments)


@pytest.mark.parametrize("backend", [POSTGRESQL])
def test_postgresqls_programs_are_found_where_the_system_has_them_or_their_absence_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store, monday: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("feedback_app.operations.pg_dump.INSTALLED", tmp_path / "postgresql")
    with pytest.raises(BackupProblem, match="install PostgreSQL's client programs"):
        back_up(store, monday)
    programs = find_postgres()
    assert programs
    for version in ("9.6", "14"):
        (tmp_path / "postgresql" / version / "bin").mkdir(parents=True)
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / "postgresql" / "14" / "bin" / name).symlink_to(programs / name)
        (tmp_path / "postgresql" / "9.6" / "bin" / name).write_text("too old")
    assert isinstance(back_up(store, monday), Contents)


@pytest.mark.parametrize("backend", [SQLITE])
def test_a_live_store_is_not_taken_for_a_backup(busy: Store, settings: Settings, tmp_path: Path) -> None:
    file = Path(settings.store_url.removeprefix("sqlite:///"))
    for name in ("store.db", "store.db-wal"):
        shutil.copy(file.parent / name, tmp_path / name)
    with pytest.raises(BackupProblem, match="not a backup"):
        examine(tmp_path / "store.db")
    with pytest.raises(BackupProblem, match="the store itself"):
        back_up(busy, file, overwrite=True)


def test_what_came_back_was_told_and_was_stopped_since_the_backup_is_not_forgotten(
    busy: Store, monday: Path, settings: Settings
) -> None:
    with busy.writing() as session:
        [following] = session.scalars(select(Following))
        following.confirmed_at = OPPS_DAY
        session.execute(delete(Bounce))
    back_up(busy, monday)
    came_back = OPPS_DAY + timedelta(hours=1)
    with busy.writing() as session:
        [delivery] = session.scalars(select(Delivery))
        session.add(Bounce(delivery_id=delivery.id, kind=BounceKind.SOFT, digest=b"a" * 32, at=came_back))
        session.add(ConfirmationAsked(fingerprint=bytes(reversed(range(32))), at=came_back))
        session.scalars(select(Following)).one().stopped_at = came_back
        session.scalars(select(Notice)).one().told_at = came_back
    done = put_back(settings, monday)
    assert done.carried
    assert done.carried.letters == 4
    with busy.reading() as session:
        [delivery] = session.scalars(select(Delivery))
        bounces = {one.digest: (one.delivery_id, one.kind) for one in session.scalars(select(Bounce))}
        assert bounces[b"a" * 32] == (delivery.id, BounceKind.SOFT)
        assert session.get(ConfirmationAsked, bytes(reversed(range(32))))
        assert session.scalars(select(Following)).one().stopped_at == came_back
        assert session.scalars(select(Notice)).one().told_at == came_back
    assert put_back(settings, monday, now=LATER + timedelta(seconds=1)).carried


def test_a_thread_that_somebody_wants_to_hear_of_again_is_not_stopped_by_an_older_stop(
    busy: Store, monday: Path, settings: Settings
) -> None:
    def stand(*, confirmed: datetime, stopped: datetime | None) -> None:
        with busy.writing() as session:
            [following] = session.scalars(select(Following))
            following.confirmed_at, following.stopped_at = confirmed, stopped

    stand(confirmed=OPPS_DAY + timedelta(hours=2), stopped=None)
    back_up(busy, monday)
    stand(confirmed=OPPS_DAY, stopped=OPPS_DAY + timedelta(hours=1))
    put_back(settings, monday)
    with busy.reading() as session:
        assert session.scalars(select(Following)).one().stopped_at is None


def test_somebody_with_another_address_since_the_backup_keeps_it_and_the_old_one_is_written_to_no_more(
    busy: Store, monday: Path, settings: Settings
) -> None:
    bob = find(busy, BOB)
    assert bob
    robert = Person("Bob Brown", "robert@example.net")
    back_up(busy, monday)
    with busy.writing() as session:
        session.execute(delete(AddressChange))
        customer = session.get_one(Customer, bob.id)
        request_change(session, customer, Address.parse(robert.address), now=LATER)
        [change] = session.scalars(select(AddressChange))
        for side in AddressSide:
            accept_change(session, change, side, now=LATER)
    put_back(settings, monday)
    assert find(busy, BOB) is None
    moved = find(busy, robert)
    assert moved
    assert (moved.id, moved.link_series) == (bob.id, 1)
    assert people(busy)[robert.address] == BOB.name
    assert writable(busy, robert)
    with busy.reading() as session:
        assert session.scalar(select(AddressChange).where(AddressChange.customer_id == bob.id)) is None


def test_the_carried_tables_are_not_left_behind(busy: Store, monday: Path, settings: Settings) -> None:
    back_up(busy, monday)
    put_back(settings, monday)
    put_back(settings, monday, now=LATER + timedelta(seconds=1))
    with busy.reading() as session:
        for one in TABLES:
            assert one.name not in {table.name for table in Base.metadata.sorted_tables}
        assert session.scalar(select(func.count()).select_from(Customer)) == 53


def test_a_shop_on_the_command_line_is_backed_up_and_restored(
    tmp_path: Path, run: Callable[..., Result], busy: Store, monday: Path
) -> None:
    assert busy
    run("db", "backup", str(monday))
    said = run("db", "restore", str(monday), "--overwrite", "--yes").output
    assert "Restored from" in said
    assert "0 suppressions, 0 erasures, 0 noes" in said
    assert not list(tmp_path.glob(".*"))
