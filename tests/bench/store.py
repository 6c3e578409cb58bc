"""The store's figures: imports, audiences and look-ups, on SQLite and PostgreSQL, and what encryption costs of each.

The share of encryption is measured, not guessed: the same run is repeated with a vault that seals nothing.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from sqlalchemy import event, select

from feedback_app import clock
from feedback_app.config import Settings, load_settings
from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import audience
from feedback_app.customers.importing.services import import_customers
from feedback_app.customers.models import Customer
from feedback_app.customers.services import find_customer
from feedback_app.customers.topics import Topic
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.security.crypto import Vault
from tests.support.postgres import running_postgres

ROUNDS = 3


def main() -> None:
    """Measure on each database, each figure in a process of its own, so that memory is that figure's own."""
    imported = int(os.environ.get("BENCH_IMPORT", "100000"))
    audience_size = int(os.environ.get("BENCH_AUDIENCE", "1000000"))
    with tempfile.TemporaryDirectory() as folder, running_postgres() as server:
        for backend in ("SQLite", "PostgreSQL"):
            urls = (
                {"UNDISCLOSED_STORE_URL": server.create(f"bench_{name}")} if backend == "PostgreSQL" else {}
                for name in ("sealed", "plain", "large")
            )
            settings = [
                load_settings({"UNDISCLOSED_INSTANCE": f"{folder}/{backend}/{number}", **url})
                for number, url in enumerate(urls)
            ]
            _say(backend, _in_a_child(lambda: _imports(settings, imported)))  # noqa: B023 - called at once
            _in_a_child(lambda: _fill(settings[2], audience_size))  # noqa: B023 - called at once
            _say(backend, _in_a_child(lambda: _audience(settings[2])))  # noqa: B023 - called at once
            _say(backend, _in_a_child(lambda: _look_up(settings[2], audience_size)))  # noqa: B023 - called at once


def _imports(settings: list[Settings], number: int) -> dict[str, str]:
    sealed, plain = [], []
    for round_ in range(ROUNDS):
        with _list_of(number, round_) as path:
            sealed.append(_import(settings[0], path, number))
            with _without_sealing():
                plain.append(_import(settings[1], path, number))
    share = 1 - median(sealed) / median(plain)
    return {
        f"imported a second ({number:,} lines, median of {ROUNDS})": f"{median(sealed):,.0f}",
        "the same without encryption": f"{median(plain):,.0f}",
        "share of encryption": f"{share:.0%}",
        "peak memory": f"{_peak():,.0f} MB",
    }


def _import(settings: Settings, path: Path, number: int) -> float:
    store = open_store(settings)
    started = time.perf_counter()
    report = import_customers(store, path, topic=Topic.SPECIALS, evidence="A list", now=clock.now())
    rate = number / (time.perf_counter() - started)
    assert report.added == number
    store.close()
    return rate


def _fill(settings: Settings, number: int) -> dict[str, str]:
    with _list_of(number, 99) as path:
        _import(settings, path, number)
    return {}


def _audience(settings: Settings) -> dict[str, str]:
    store = open_store(settings)
    before = _peak()
    first, total, number = _walk(store)
    peak = _peak()
    with _without_opening():
        _, bare, _ = _walk(store)
    store.close()
    return {
        f"audience of {number:,}: time to first": f"{first * 1000:.1f} ms",
        "in all": f"{total:.1f} s ({number / total:,.0f} a second)",
        "share of encryption": f"{max(0.0, 1 - bare / total):.0%}",
        "memory": f"{before:,.0f} MB before, {peak:,.0f} MB at the peak",
    }


def _walk(store: Store) -> tuple[float, float, int]:
    started = time.perf_counter()
    first, number = 0.0, 0
    with store.reading() as session:
        for _ in audience(session, Topic.SPECIALS, now=clock.now()):
            first = first or time.perf_counter() - started
            number += 1
    return first, time.perf_counter() - started, number


def _look_up(settings: Settings, number: int) -> dict[str, str]:
    """One customer among all: the database's time, from the statement's start to its end, as the driver sees it."""
    store = open_store(settings)
    times: list[float] = []
    started = [0.0]
    event.listen(store.engine, "before_cursor_execute", lambda *_: started.__setitem__(0, time.perf_counter()))
    event.listen(store.engine, "after_cursor_execute", lambda *_: times.append(time.perf_counter() - started[0]))
    whole = []
    for step in range(500):
        address = Address.parse(_address(99, step * (number // 500)))
        with store.reading() as session:
            begun = time.perf_counter()
            assert find_customer(session, address) is not None
            whole.append(time.perf_counter() - begun)
    with store.reading() as session:
        assert session.scalar(select(Customer.id).limit(1))
    store.close()
    return {
        f"look-up of one among {number:,}: the database's time (median of 500)": f"{median(times[:500]) * 1000:.3f} ms",
        "with the program's": f"{median(whole) * 1000:.3f} ms",
    }


def _address(round_: int, step: int) -> str:
    return f"customer.{step}.of.{round_}@example{step % 500}.com"


@contextmanager
def _list_of(number: int, round_: int) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="utf-8") as file:
        file.write("email,name\n")
        file.writelines(f"{_address(round_, step)},First{step} Last{step}\n" for step in range(number))
        file.flush()
        yield Path(file.name)


@contextmanager
def _without_sealing() -> Iterator[None]:
    real = Vault.sealer
    Vault.sealer = lambda _self: lambda _place, _owner, text: text.encode()  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Vault.sealer = real  # type: ignore[method-assign]


@contextmanager
def _without_opening() -> Iterator[None]:
    real = Vault.open
    Vault.open = lambda _self, _place, _owner, _sealed: "somebody@example.com"  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Vault.open = real  # type: ignore[method-assign]


def _in_a_child(measure: Callable[[], dict[str, str]]) -> dict[str, str]:
    reading, writing = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(measure()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return dict(json.loads(said))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _say(backend: str, figures: dict[str, str]) -> None:
    for name, figure in figures.items():
        print(f"{backend}: {name}: {figure}")  # noqa: T201 - this is what it is for
