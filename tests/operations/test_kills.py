"""Writers killed at random instants: the store opens, it is whole, and nothing that was acknowledged is lost.

A kill takes the process and not the power: that a commit reaches the disk is `synchronous = FULL`'s business. The
writers are forked from this process, because importing the program takes longer than they live.
"""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from select import select as poll

import pytest
from sqlalchemy import func, select, text

from feedback_app.comments.models import Comment, Thread
from feedback_app.comments.posting import post_comment, prepare_text
from feedback_app.comments.spam.verdicts import Evidence, Rules
from feedback_app.comments.threads.registry import Post, register_posts
from feedback_app.config import Moderation, Settings, load_settings
from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import choose
from feedback_app.customers.importing.services import import_customers
from feedback_app.customers.models import ConsentChannel, ConsentEvent, Customer, Frequency, Preference
from feedback_app.customers.services import address_of, find_or_add_customer
from feedback_app.customers.topics import Topic
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.operations.backup import back_up, examine
from feedback_app.operations.restore import plan_restore, restore
from tests.support.clock import OPPS_DAY
from tests.support.databases import BACKENDS, POSTGRESQL, SQLITE

pytestmark = pytest.mark.slow

LONGEST_LIFE = 0.1
# The share of writers that get something done before they are killed; the others may not even have opened the store.
BORN = 0.8
LINES = 20
BUSINESS = "The fair of 2007"


@dataclass(slots=True)
class Acknowledged:
    """What the writers were told is kept."""

    comments: set[str] = field(default_factory=set)
    choices: Counter[str] = field(default_factory=Counter)
    imports: set[str] = field(default_factory=set)

    def note(self, line: str) -> None:
        kind, _, what = line.partition(" ")
        if kind == "choice":
            self.choices[what] += 1
        else:
            {"comment": self.comments, "import": self.imports}[kind].add(what)

    def total(self) -> int:
        return len(self.comments) + self.choices.total() + len(self.imports)


@dataclass(slots=True)
class Writer:
    """Somebody who writes until they are killed."""

    settings: Settings
    name: str
    pipe: int

    def work(self) -> None:
        store = open_store(self.settings)
        chance = random.Random(self.name)  # noqa: S311 - picks what to write
        number = 0
        while True:
            number += 1
            what = chance.choice((self.comment, self.choice, self.choice, self.bring))
            os.write(self.pipe, f"{what(store, number)}\n".encode())

    def comment(self, store: Store, number: int) -> str:
        words, rules = f"{self.name}-{number}", Rules(Moderation.NONE)
        prepared = prepare_text("Nora", words, rules)
        if number % 2:
            with store.reading() as session:
                below = session.scalars(select(Thread.id)).one()
            store.write(
                lambda session: post_comment(session, below, prepared, rules=rules, evidence=Evidence(), now=OPPS_DAY)
            )
            return f"comment {words}"
        with store.writing() as session:
            thread = session.scalars(select(Thread)).one()
            post_comment(
                session, thread.id, prepared, address=Address.parse(f"{words}@example.net"), parent=None,
                rules=rules, evidence=Evidence(), now=OPPS_DAY,
            )  # fmt: skip
        return f"comment {words}"

    def choice(self, store: Store, number: int) -> str:
        """One of three people who change their minds again and again."""
        address = f"{self.name}-{number % 3}@example.org"
        with store.writing() as session:
            customer = find_or_add_customer(session, Address.parse(address), now=OPPS_DAY)
            row = session.get(Preference, (customer.id, Topic.NEWS))
            yes = row is None or row.frequency is Frequency.NEVER
            choose(
                session, customer, Topic.NEWS, Frequency.EACH if yes else Frequency.NEVER,
                channel=ConsentChannel.FORM, wording=Topic.NEWS.info.wording, now=OPPS_DAY,
            )  # fmt: skip
        return f"choice {address}"

    def bring(self, store: Store, number: int) -> str:
        name = f"{self.name}-{number}"
        file = self.settings.instance / f"{name}.csv"
        lines = "".join(f"{name}-{line}@example.com\n" for line in range(LINES))
        file.write_text(f"email\n{lines}", encoding="utf-8")
        import_customers(store, file, topic=Topic.SPECIALS, evidence=BUSINESS, now=OPPS_DAY)
        return f"import {name}"


def fork(work: Callable[[], object]) -> int:
    """Let a child do something; it never comes back into the tests."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    return child


def end(children: list[int]) -> int:
    """Kill children; returns how many were alive."""
    for child in children:
        os.kill(child, signal.SIGKILL)
    ends = [os.waitpid(child, 0)[1] for child in children]
    return sum(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL for status in ends)


def write_and_be_killed(settings: Settings, names: list[str], life: float, kept: Acknowledged, *, born: bool) -> int:
    """Some writers at once, all killed; what they were told is noted. Returns how many were killed at work.

    Their life is measured from the first thing that was acknowledged, or from before they were born.
    """
    reading, writing = os.pipe()
    children = [fork(Writer(settings, name, writing).work) for name in names]
    os.close(writing)
    if born:
        assert poll([reading], [], [], 60)[0], "a writer writes"
    time.sleep(life)
    killed = end(children)
    with os.fdopen(reading) as lines:
        for line in lines:
            kept.note(line.strip())
    return killed


def check(settings: Settings, kept: Acknowledged) -> None:
    """The store opens, it is whole, and everything acknowledged is in it."""
    store = open_store(settings)
    with store.reading() as session:
        if store.dialect == SQLITE:
            assert session.scalar(text("PRAGMA quick_check")) == "ok"
            assert session.execute(text("PRAGMA foreign_key_check")).first() is None
        assert kept.comments <= set(session.scalars(select(Comment.text)))
        addresses = {row.id: address_of(session, row).written for row in session.scalars(select(Customer))}
        events: dict[tuple[int, Topic], list[Frequency]] = {}
        for event in session.scalars(select(ConsentEvent).order_by(ConsentEvent.id)):
            events.setdefault((event.customer_id, event.topic), []).append(event.frequency)
        choices = {(row.customer_id, row.topic): row.frequency for row in session.scalars(select(Preference))}
    store.close()
    assert choices == {key: frequencies[-1] for key, frequencies in events.items()}
    changes = {addresses[number]: len(said) for (number, topic), said in events.items() if topic is Topic.NEWS}
    for address, count in kept.choices.items():
        # One more may have been kept without anybody having been told.
        assert changes.get(address, 0) in {count, count + 1}
    imported = Counter(address.rpartition("-")[0] for address in addresses.values() if address.endswith("@example.com"))
    assert set(imported.values()) <= {LINES}, "a batch is there as a whole or not at all"
    assert kept.imports <= set(imported)


@pytest.mark.parametrize(
    ("backend", "writers", "rounds"),
    [(SQLITE, 1, 120), (SQLITE, 3, 40), (POSTGRESQL, 1, 20), (POSTGRESQL, 3, 10)],
    ids=["sqlite-one", "sqlite-three-at-once", "postgresql-one", "postgresql-three-at-once"],
)
def test_what_somebody_was_told_is_kept_is_kept_whenever_the_shop_is_killed(
    settings: Settings, store: Store, backend: str, writers: int, rounds: int
) -> None:
    assert backend in BACKENDS
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)  # noqa: S311 - picks instants
    with store.writing() as session:
        register_posts(session, [Post("/2007/10/opps.html", "Opps!", OPPS_DAY)])
    store.close()
    kept, killed = Acknowledged(), 0
    for number in range(rounds):
        names = [f"{seed}-{number}-{writer}" for writer in range(writers)]
        life, born = chance.uniform(0, LONGEST_LIFE), chance.random() < BORN
        killed += write_and_be_killed(settings, names, life, kept, born=born)
        check(settings, kept)
    assert killed == rounds * writers, "every writer was at work when it was killed"
    assert kept.total() > rounds, "the writers got something done"


def test_a_shop_killed_on_its_first_day_opens_the_next(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)  # noqa: S311 - picks instants
    for number in range(25):
        settings = load_settings({"UNDISCLOSED_INSTANCE": str(tmp_path / f"{number}")})
        children = [fork(partial(open_store, settings)) for _ in range(2)]
        time.sleep(chance.uniform(0, 0.1))
        end(children)
        open_store(settings).close()
        check(settings, Acknowledged())


@pytest.mark.parametrize(("backend", "rounds"), [(SQLITE, 20), (POSTGRESQL, 10)], ids=BACKENDS)
def test_a_killed_backup_leaves_a_whole_one_and_a_killed_restore_the_one_store_or_the_other(
    settings: Settings, store: Store, tmp_path: Path, backend: str, rounds: int
) -> None:
    assert backend in BACKENDS
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    chance = random.Random(seed)  # noqa: S311 - picks instants
    file, often = tmp_path / "once", tmp_path / "often"
    bring(store, settings, "before")
    back_up(store, file)
    back_up(store, often)
    bring(store, settings, "after")
    plan, seen, now = plan_restore(settings, file), Counter[int](), OPPS_DAY
    begun = time.monotonic()
    restore(settings, plan, now=now)
    whole = time.monotonic() - begun
    bring(store, settings, "after again")
    for number in range(rounds):
        store.close()
        now += timedelta(seconds=1)
        child = fork(partial(restore, settings, plan, now=now))
        time.sleep(chance.uniform(0.1, 1.5) * whole)
        end([child])
        check(settings, Acknowledged())
        with store.reading() as session:
            count = session.scalar(select(func.count()).select_from(Customer)) or 0
        assert count in {LINES, 2 * LINES}
        seen[count] += 1
        if count == LINES:
            bring(store, settings, f"after{number}")
        store.close()
        child = fork(partial(back_up, store, often, overwrite=True))
        time.sleep(chance.uniform(0, 0.1))
        end([child])
        assert examine(often).rows["customers"] in {LINES, 2 * LINES}
    print(f"{seen[LINES]} restored, {seen[2 * LINES]} as before")  # noqa: T201 - shown by pytest -s


def bring(store: Store, settings: Settings, name: str) -> None:
    Writer(settings, name, -1).bring(store, 0)
