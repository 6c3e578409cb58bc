"""Unsending: in whatever order an owner and workers act, a mailing cancelled in its hold reached nobody."""

import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from feedback_app import clock
from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.heartbeats import alive
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.services import MailingRefused
from feedback_app.mailing.models import LEFT_STATES, OPEN_STATES, Delivery, Mailing, MailingState
from tests.support.clock import OPPS_DAY, Clock
from tests.support.keys import ADDRESS_KEY
from tests.support.mailings import CROWD, about, counts, gather, held, read, state, text_of, worker_to
from tests.support.shop import Shop, wait_for
from tests.support.smtp import MailServer

RACES, EARLY = 10, 3
# Seconds between two looks of an idle worker: holds end, and are cancelled, at any moment within such a span.
LOOK_INTERVAL = 0.25
MANY_RACES = 100
SAID = re.compile(rb"This is (race-[0-9]+)\.")


@dataclass(frozen=True, slots=True)
class Cancelling:
    """The outcome of a cancel, None where all letters had left before; and whether it ended within the hold."""

    done: services.Cancelled | None
    in_hold: bool


def store_of(shop: Shop) -> Store:
    """Open the store of a shop and add customers."""
    store = open_store(load_settings(shop.environment() | {"UNDISCLOSED_INSTANCE": str(shop.instance)}))
    gather(store, *CROWD)
    return store


@contextmanager
def two_workers(shop: Shop, sink: MailServer, store: Store) -> Iterator[None]:
    """Run two workers, each a process of its own; at the end, wait until every mailing is over."""
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "feedback_app", "mail", "run"],
            cwd=shop.folder,
            env=shop.environment(smtp_url=sink.url),
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    try:
        wait_for(partial(at_work, store, len(workers)), "the workers to be there")
        yield
        wait_for(partial(all_over, store), "everything to have ended")
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(60)


def check(store: Store, sink: MailServer, races: list[Cancelling]) -> None:
    """Check that the letters that left are those of the ledger, and those that the cancel reported."""
    left = Counter(name.decode() for letter in sink.letters for name in SAID.findall(letter.data)[:1])
    for number, race in enumerate(races):
        slug = f"race-{number}"
        found = counts(store, slug)
        assert found.get("accepted", 0) == left[slug]
        if race.done is None:
            assert not race.in_hold
            assert found == {"accepted": len(CROWD)}
        elif race.in_hold or not (race.done.accepted or race.done.in_doubt):
            # No letter has left, and none leaves later.
            assert (race.done.accepted, race.done.in_doubt, left[slug]) == (0, 0, 0)
        else:
            # The cancel reports how many had left; a letter on the wire at that moment is in doubt, and no other left.
            assert race.done.accepted <= left[slug] <= race.done.accepted + race.done.in_doubt


def test_a_cancel_wins_against_workers_in_other_processes(shop: Shop, sink: MailServer) -> None:
    """Some are cancelled early, and others at the moment at which the hold ends."""
    with closing(store_of(shop)) as store:
        with two_workers(shop, sink, store):
            races = [run_race(store, number, hold=600 if number < EARLY else 0) for number in range(RACES)]
        check(store, sink, races)
    assert all(race.in_hold for race in races[:EARLY])


@pytest.mark.slow
def test_a_cancel_wins_at_any_moment_around_the_end_of_a_hold(shop: Shop, sink: MailServer) -> None:
    chance = random.Random(1)  # noqa: S311 - so that a failure comes again
    with closing(store_of(shop)) as store:
        with two_workers(shop, sink, store):
            races = [
                run_race(
                    store, number, hold=chance.uniform(0, LOOK_INTERVAL), wait=chance.uniform(0, 2 * LOOK_INTERVAL)
                )
                for number in range(MANY_RACES)
            ]
        check(store, sink, races)
    # Both outcomes came up.
    assert len({race.in_hold for race in races}) == 2


def at_work(store: Store, number: int) -> bool:
    with store.reading() as session:
        return len(alive(session, now=clock.now())) == number


def all_over(store: Store) -> bool:
    under_way = (MailingState.HELD, MailingState.SENDING)
    with store.reading() as session:
        open_ = select(Delivery.id).where(Delivery.state.in_(OPEN_STATES)).limit(1)
        going = select(Mailing.id).where(Mailing.state.in_(under_way)).limit(1)
        return session.scalar(open_) is None and session.scalar(going) is None


def run_race(store: Store, number: int, *, hold: float, wait: float = 0) -> Cancelling:
    """Hold a mailing for `hold` seconds and cancel it after `wait` seconds."""
    slug = f"race-{number}"
    with store.writing() as session:
        source = about(slug, f"This is {slug}.\n")
        due_at = services.hold(session, source, minutes=hold / 60, now=clock.now()).due_at
    time.sleep(wait)
    try:
        done = store.write(partial(services.cancel, slug=slug, now=clock.now()))
    except MailingRefused:
        done = None
    return Cancelling(done, in_hold=clock.now() < due_at)


class Unsending(RuleBasedStateMachine):
    """An owner who sends, changes, cancels and resumes; two workers; a clock."""

    new_store: Callable[[], Store]
    clock: Clock
    sink: MailServer
    slug = "free-socks"

    def __init__(self) -> None:
        super().__init__()
        self.store = self.new_store()
        self.clock.moment = OPPS_DAY
        self.before = len(self.sink.letters)
        self.text = 0
        self.workers = [worker_to(self.sink, self.store, number, max_in_flight="3") for number in (1, 2)]

    def teardown(self) -> None:
        for worker in self.workers:
            worker.transport.close()
        self.store.close()

    def mine(self) -> list[str]:
        return [text_of(letter.data).splitlines()[0] for letter in self.sink.letters[self.before :]]

    def mailing_state(self) -> MailingState | None:
        try:
            return state(self.store, self.slug)
        except MailingRefused:
            return None

    @rule(minutes=st.sampled_from([0, 10]))
    def send(self, minutes: int) -> None:
        was = self.mailing_state()
        try:
            held(self.store, about(self.slug, f"Text {self.text + 1}.\n"), minutes=minutes, clock=self.clock)
        except MailingRefused:
            # Refused: it is held or sent already, or a letter has left.
            assert was not in {None, MailingState.CANCELLED} or self.mine()
            return
        assert was in {None, MailingState.CANCELLED}
        assert not self.mine()
        self.text += 1

    @rule()
    def cancel(self) -> None:
        was = self.mailing_state()
        try:
            with self.store.writing() as session:
                done = services.cancel(session, self.slug, now=self.clock.now())
        except MailingRefused:
            assert was in {None, MailingState.CANCELLED, MailingState.SENT}
            return
        assert done.accepted == len(self.mine())
        assert self.mailing_state() is MailingState.CANCELLED

    @rule(minutes=st.sampled_from([1, 9, 10]))
    def time_goes_by(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)

    @rule(number=st.sampled_from([0, 1]))
    def a_worker_works(self, number: int) -> None:
        due = self.mailing_state() is MailingState.HELD and self.due()
        before = len(self.mine())
        self.workers[number].work_once()
        if not due and self.mailing_state() is not MailingState.SENT:
            assert len(self.mine()) == before

    @rule()
    def the_hold_ends(self) -> None:
        with self.store.writing() as session:
            services.release_due(session, now=self.clock.now())

    @rule()
    def the_gate_halts_it(self) -> None:
        if (was := self.mailing_state()) is not None:
            with self.store.writing() as session:
                mailing = services.find_mailing(session, self.slug)
                services.halt(session, mailing.id, "a letter was stopped at the gate", now=self.clock.now())
            # Only a mailing that is being sent can be halted.
            assert self.mailing_state() is (MailingState.HALTED if was is MailingState.SENDING else was)

    @rule()
    def resume(self) -> None:
        was = self.mailing_state()
        try:
            with self.store.writing() as session:
                services.resume(session, self.slug)
        except MailingRefused:
            assert was is not MailingState.HALTED
            return
        assert was is MailingState.HALTED

    def due(self) -> bool:
        with self.store.reading() as session:
            return services.find_mailing(session, self.slug).due_at <= self.clock.now()

    @invariant()
    def what_left_is_the_last_text_once_to_each_and_counted(self) -> None:
        assert set(self.mine()) <= {f"Text {self.text}."}
        named = [read(letter.data)["To"] for letter in self.sink.letters[self.before :]]
        assert len(named) == len(set(named))
        if self.mailing_state() is not None:
            found = counts(self.store, self.slug)
            assert sum(found.get(one, 0) for one in LEFT_STATES) == len(named)

    @invariant()
    def a_hold_and_a_draft_have_reached_nobody(self) -> None:
        if self.mailing_state() in {None, MailingState.DRAFT, MailingState.HELD}:
            assert self.mine() == []


def test_in_every_order_of_what_an_owner_and_workers_do(
    sqlite_template: Path, tmp_path: Path, sink: MailServer, clock: Clock
) -> None:
    numbers = count()

    def new_store() -> Store:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        (folder / "store.db").write_bytes(sqlite_template.read_bytes())
        store = open_store(load_settings({"UNDISCLOSED_INSTANCE": str(folder), "UNDISCLOSED_ADDRESS_KEY": ADDRESS_KEY}))
        gather(store, *CROWD[:7])
        return store

    machine = type("Machine", (Unsending,), {"new_store": staticmethod(new_store), "clock": clock, "sink": sink})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
