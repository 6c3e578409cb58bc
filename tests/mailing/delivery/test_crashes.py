"""Workers that are killed: at whatever moment, no letter is sent twice, and none is lost without being reported."""

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path

import pytest
from sqlalchemy import select

from feedback_app.config import Settings
from feedback_app.customers.services import person
from feedback_app.db.store import Store
from feedback_app.heartbeats import Worker
from feedback_app.mailing.delivery import ledger
from feedback_app.mailing.mailings import services
from feedback_app.mailing.models import DeliveryState, MailingState
from tests.support.clock import Clock
from tests.support.commands import COMMANDS
from tests.support.crashes import STEPS, Sink, durable_sink, fast_clock, worker_process
from tests.support.keys import ADDRESS_KEY, SECRET_KEY
from tests.support.mailings import FREE_SOCKS, about, counts, gather, held, state
from tests.support.people import Person
from tests.support.shop import wait_for

IN_FLIGHT = 6
KILLS = 80
# Seconds, more than the PATIENCE of heartbeats: each worker finds the ones before it dead.
APART = 60
AN_HOUR = 3600


@dataclass(slots=True)
class PostOffice:
    """A shop, its mail server, and workers that are killed."""

    store: Store
    sink: Sink
    environment: dict[str, str]
    kills: int = 0
    # How many seconds the clocks of the next workers are ahead.
    ahead: Iterator[int] = field(default_factory=lambda: count(APART, APART))

    def in_doubt(self) -> int:
        """Return how many letters may or may not have arrived."""
        found = counts(self.store)
        return found.get("unknown", 0) + found.get("submitting", 0)

    def kill(self, step: str | None, workers: int, chance: random.Random) -> None:
        """Start workers and kill them all: when the server stops at a step, or shortly after it took some letters."""
        before, doubt = self.sink.taken().total(), self.in_doubt()
        letters = chance.randint(1, 4)
        self.sink.stop_at(step or "", letters)
        ahead = next(self.ahead)
        with ExitStack() as running:
            for _ in range(workers):
                running.enter_context(worker_process(self.environment, fast_clock(ahead)))
            if step:
                self.sink.hear("stopped")
            else:
                for _ in range(letters):
                    self.sink.hear("took")
                time.sleep(chance.random() * 0.005)
        self.sink.stop_at("", 0)
        assert self.in_doubt() - doubt <= IN_FLIGHT * workers
        self.kills += self.sink.taken().total() > before

    def run_on(self) -> None:
        """Start workers until everything is done."""
        for _ in range(10):
            with worker_process(self.environment, fast_clock(next(self.ahead) + AN_HOUR), through=True) as process:
                deadline = time.monotonic() + 300
                while process.is_alive():
                    # The server reports each letter: unread reports would fill the pipe and block it.
                    self.sink.forget()
                    process.join(0.1)
                    assert time.monotonic() < deadline, "the worker did not come to an end"
                assert process.exitcode == 0
            if not {"queued", "submitting", "deferred"} & counts(self.store).keys():
                return
            self.ahead = count(next(self.ahead) + AN_HOUR, APART)

    def unknown(self, slug: str = FREE_SOCKS.slug) -> set[str]:
        """Return the addresses that `mail status` names as unknown: they may have got the letter."""
        done = COMMANDS.run(
            ["mail", "status", slug, "--json"], folder=self.sink.record.parent, environment=self.environment
        )
        status = json.loads(done.stdout)
        assert status["counts"]["unknown"] == len(status["unknown"]) == len(set(status["unknown"]))
        return set(status["unknown"])

    def accepted(self, slug: str = FREE_SOCKS.slug) -> set[str]:
        """Return the addresses that have got the letter, by the ledger."""
        done = COMMANDS.run(
            ["mail", "list", slug, "--state", "accepted", "--json"],
            folder=self.sink.record.parent,
            environment=self.environment,
        )
        return {row["address"] for row in json.loads(done.stdout)}


@contextmanager
def post_office(
    store: Store, make_settings: Callable[..., Settings], folder: Path, people: list[Person]
) -> Iterator[PostOffice]:
    """Open a shop with customers and a mail server that keeps a record."""
    gather(store, *people)
    with durable_sink(folder) as sink:
        settings = make_settings()
        values = {
            "instance": settings.instance,
            "store_url": settings.store_url,
            "site_url": settings.site_url,
            "address_key": ADDRESS_KEY,
            "secret_key": SECRET_KEY,
            "smtp_url": f"smtp://127.0.0.1:{sink.port}",
            "max_in_flight": IN_FLIGHT,
        }
        yield PostOffice(store, sink, {f"UNDISCLOSED_{name.upper()}": str(value) for name, value in values.items()})


def crowd(count: int) -> list[Person]:
    """Return so many customers."""
    return [Person("Customer", f"customer{number}@example.com") for number in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_whenever_workers_are_killed_no_letter_is_sent_twice_or_lost(
    workers: int, store: Store, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    chance = random.Random(workers)  # noqa: S311 - so that a failure comes again
    people = crowd(20 * KILLS * workers)
    with post_office(store, make_settings, tmp_path, people) as post:
        held(store, minutes=0, clock=Clock(datetime.now(UTC)))
        for step in islice(cycle([*STEPS, None, None]), 2 * KILLS):
            post.kill(step, workers, chance)
            if post.kills == KILLS:
                break
        assert post.kills == KILLS
        post.run_on()
        got = post.sink.taken()
    everybody = {person.address for person in people}
    unknown, accepted = post.unknown(), post.accepted()
    assert max(got.values()) == 1
    assert unknown | accepted == everybody
    assert not unknown & accepted
    assert accepted <= got.keys() <= everybody
    assert len(unknown) <= IN_FLIGHT * workers * KILLS


def had_by(store: Store, slug: str, worker: str) -> set[str]:
    """Return the addresses whose letters a worker has in flight, or had when it ended."""
    with store.reading() as session:
        rows = ledger.deliveries(session, services.find_mailing(session, slug), DeliveryState.SUBMITTING)
        return {person(session, row[1]).address for row in rows if row[0].worker_id == worker and row[1]}


def beside(store: Store, others: set[str]) -> set[str]:
    """Return the ids of the workers beside these."""
    with store.reading() as session:
        return set(session.scalars(select(Worker.id))) - others


@pytest.mark.slow
def test_a_worker_finishes_when_another_is_killed_beside_it(
    store: Store, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """One worker is kept waiting at every step of the SMTP dialogue and killed there; no worker is started after it."""
    people = crowd(30)
    everybody = {person.address for person in people}
    gone: set[str] = set()
    with post_office(store, make_settings, tmp_path, people) as post:
        for number, step in enumerate(STEPS):
            slug, before = f"free-socks-{number}", post.sink.taken()
            held(store, about(slug), minutes=0, clock=Clock(datetime.now(UTC)))
            ahead = fast_clock(next(post.ahead))
            # By turns among the canary, which the rest waits for, and behind it.
            post.sink.stop_at(step, 2 + 5 * (number % 2))
            with worker_process(post.environment, ahead) as victim:
                post.sink.hear("stopped")
                [name] = beside(store, gone)
                gone.add(name)
                with worker_process(post.environment, ahead, through=True) as survivor:
                    wait_for(partial(beside, store, gone), "the other worker to be there")
                    if number % 2:
                        # The survivor sends while the victim waits.
                        post.sink.forget()
                        post.sink.hear("took")
                    victim.kill()
                    victim.join()
                    had = had_by(store, slug, name)
                    while survivor.is_alive():
                        post.sink.forget()
                        # The survivor's clock runs fast, so that it soon takes the silent worker for dead.
                        ahead.value += 4
                        survivor.join(0.1)
                    assert survivor.exitcode == 0
            got = post.sink.taken() - before
            unknown, accepted = post.unknown(slug), post.accepted(slug)
            assert max(got.values()) == 1
            assert unknown == had
            assert 0 < len(unknown) <= IN_FLIGHT
            assert accepted == everybody - had
            assert accepted <= got.keys() <= everybody
            assert state(store, slug) is MailingState.SENT
