"""Workers that are killed: whatever the moment, nobody gets a letter twice, and nobody's is lost without a word."""

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, cycle, islice
from pathlib import Path

import pytest

from feedback_app.config import Settings
from feedback_app.db import Store
from tests.conftest import ADDRESS_KEY, SECRET_KEY, Clock
from tests.mailing.desk import FREE_SOCKS, counts, gather, held
from tests.support.commands import COMMANDS
from tests.support.crashes import STEPS, Sink, durable_sink, worker_process
from tests.support.people import Person

IN_FLIGHT = 6
KILLS = 80
# Longer than a worker's patience: each finds the ones before it gone.
APART = 60
AN_HOUR = 3600


@dataclass(slots=True)
class Post:
    """A shop, its mail server, and workers that are killed."""

    store: Store
    sink: Sink
    environment: dict[str, str]
    kills: int = 0
    # How far ahead the clocks of the workers are, each time further.
    ahead: Iterator[int] = field(default_factory=lambda: count(APART, APART))

    def in_doubt(self) -> int:
        """How many letters may or may not have arrived."""
        found = counts(self.store)
        return found.get("unknown", 0) + found.get("submitting", 0)

    def kill(self, step: str | None, workers: int, chance: random.Random) -> None:
        """Start workers and kill them all: when the server stops at a step, or some time after letters have moved."""
        before, doubt = self.sink.taken().total(), self.in_doubt()
        letters = chance.randint(1, 4)
        self.sink.stop_at(step or "", letters)
        ahead = next(self.ahead)
        with ExitStack() as running:
            for _ in range(workers):
                running.enter_context(worker_process(self.environment, ahead))
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
        """Let a worker do what is left, however often it has to be tried."""
        for _ in range(10):
            with worker_process(self.environment, next(self.ahead) + AN_HOUR, through=True) as process:
                deadline = time.monotonic() + 300
                while process.is_alive():
                    # What the server says of each letter is read, or it would have to stop saying it.
                    self.sink.forget()
                    process.join(0.1)
                    assert time.monotonic() < deadline, "the worker did not come to an end"
                assert process.exitcode == 0
            if not {"queued", "submitting", "deferred"} & counts(self.store).keys():
                return
            self.ahead = count(next(self.ahead) + AN_HOUR, APART)

    def said_to_be_unknown(self) -> set[str]:
        """Who is named by `mail status` as somebody who may have got it, or not."""
        done = COMMANDS.run(
            ["mail", "status", FREE_SOCKS.slug, "--json"], folder=self.sink.record.parent, environment=self.environment
        )
        said = json.loads(done.stdout)
        assert said["counts"]["unknown"] == len(said["unknown"]) == len(set(said["unknown"]))
        return set(said["unknown"])

    def accepted(self) -> set[str]:
        """Who has got it, by the ledger."""
        done = COMMANDS.run(
            ["mail", "list", FREE_SOCKS.slug, "--state", "accepted", "--json"],
            folder=self.sink.record.parent,
            environment=self.environment,
        )
        return {row["address"] for row in json.loads(done.stdout)}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_whenever_workers_are_killed_nobody_gets_a_letter_twice_and_none_is_lost_without_a_word(
    workers: int, store: Store, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    chance = random.Random(workers)  # noqa: S311 - so that a failure comes again
    crowd = [Person("Customer", f"customer{number}@example.com") for number in range(20 * KILLS * workers)]
    gather(store, *crowd)
    held(store, minutes=0, clock=Clock(datetime.now(UTC)))
    with durable_sink(tmp_path) as sink:
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
        post = Post(store, sink, {f"UNDISCLOSED_{name.upper()}": str(value) for name, value in values.items()})
        for step in islice(cycle([*STEPS, None, None]), 2 * KILLS):
            post.kill(step, workers, chance)
            if post.kills == KILLS:
                break
        assert post.kills == KILLS
        post.run_on()
        got = sink.taken()
    everybody = {person.address for person in crowd}
    unknown, accepted = post.said_to_be_unknown(), post.accepted()
    assert max(got.values()) == 1
    assert unknown | accepted == everybody
    assert not unknown & accepted
    assert accepted <= got.keys() <= everybody
    assert len(unknown) <= IN_FLIGHT * workers * KILLS
