"""The ledger: what is known of every letter, whatever a mail server does and whenever a worker ends."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import select, text

from feedback_app.customers.addresses import Address
from feedback_app.customers.services import request_link
from feedback_app.db.prepared import driver_of
from feedback_app.db.store import Store
from feedback_app.heartbeats import PATIENCE
from feedback_app.letter_queue import LetterRequest
from feedback_app.mailing.delivery import claims, ledger
from feedback_app.mailing.mailings import services
from feedback_app.mailing.models import Delivery, Mailing, MailingState
from feedback_app.mailing.transports.results import Answer, Outcome
from feedback_app.mailing.transports.smtp_pool import SmtpPool
from tests.support.clock import Clock
from tests.support.databases import POSTGRESQL
from tests.support.mailings import CROWD, about, counts, gather, held, reasons, state, worker_to
from tests.support.people import ALICE, BOB, CAROL
from tests.support.smtp import MailServer, mail_server

Script = Callable[[str, int], str | None]


def always(verb: str, answer: str) -> Script:
    """A server that answers one command so, and the others as usual."""
    return lambda said, _taken: answer if said == verb else None


def once(verb: str, answer: str) -> Script:
    """A server that answers one command so the first time."""
    answers = [answer]
    return lambda said, _taken: answers.pop() if said == verb and answers else None


def deliveries(store: Store) -> list[Delivery]:
    """The rows of the ledger, in their order."""
    with store.reading() as session:
        return list(session.scalars(select(Delivery).order_by(Delivery.id)))


def test_a_letter_is_written_down_before_its_bytes_leave(store: Store, clock: Clock) -> None:
    gather(store, ALICE, BOB)
    seen: list[tuple[str, dict[str, int], list[str | None]]] = []

    def script(verb: str, _taken: int) -> str | None:
        if verb in {"MAIL", "DATA", "DOT"}:
            seen.append((verb, counts(store), [row.message_id for row in deliveries(store)]))
        return None

    held(store, minutes=0, clock=clock)
    with mail_server(script) as server:
        worker_to(server, store).work_once()
    named = [row.message_id for row in deliveries(store)]
    assert all(named)
    # The answers of a window are written down together.
    assert [verb for verb, _, _ in seen] == ["MAIL", "DATA", "DOT", "MAIL", "DATA", "DOT"]
    assert all((found, names) == ({"submitting": 2}, named) for _, found, names in seen)
    assert [f"Message-ID: {name}".encode() in letter.data for name, letter in zip(named, server.letters, strict=True)]
    assert [row.attempts for row in deliveries(store)] == [1, 1]
    assert reasons(store) == ["250 ok 1", "250 ok 2"]


def test_all_letters_leave_through_one_connection_with_one_recipient_each(store: Store, clock: Clock) -> None:
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    with mail_server() as server:
        worker_to(server, store, max_in_flight="5").work_once()
    assert server.connections == 1
    assert server.recipients() == [person.address for person in CROWD]
    assert all(len(letter.recipients) == 1 for letter in server.letters)
    assert sum(command.startswith("RCPT") for command in server.commands) == len(CROWD)


@pytest.mark.parametrize("verb", ["RCPT", "DOT"])
def test_what_a_server_refuses_for_good_has_failed_and_is_not_tried_again(
    verb: str, store: Store, clock: Clock
) -> None:
    gather(store, ALICE, BOB)
    held(store, minutes=0, clock=clock)
    with mail_server(always(verb, "550 5.1.1 <alice@example.com>: no such user here")) as server:
        worker = worker_to(server, store)
        worker.work_once()
        tried = len(server.commands)
        clock.advance(days=3)
        worker.work_once()
    assert len(server.commands) == tried
    assert counts(store) == {"failed": 2}
    assert reasons(store) == ["550 5.1.1 …@… no such user here"] * 2
    assert state(store) is MailingState.SENT


def test_one_refusal_does_not_keep_the_next_letter(store: Store, clock: Clock) -> None:
    gather(store, ALICE, BOB, CAROL)
    held(store, minutes=0, clock=clock)
    with mail_server(once("RCPT", "550 no such user")) as server:
        worker_to(server, store).work_once()
    assert server.recipients() == [BOB.address, CAROL.address]
    assert server.connections == 1
    assert counts(store) == {"accepted": 2, "failed": 1}


def test_a_refusal_stands_when_the_server_hangs_up_after_it(store: Store, clock: Clock) -> None:
    gather(store, ALICE, BOB)
    held(store, minutes=0, clock=clock)
    said: list[str] = []

    def script(verb: str, _taken: int) -> str | None:
        said.append(verb)
        return {"RCPT": "550 go away", "RSET": "close"}.get(verb) if said.count("RCPT") == 1 else None

    with mail_server(script) as server:
        worker_to(server, store).work_once()
    assert counts(store) == {"accepted": 1, "failed": 1}
    assert server.recipients() == [BOB.address]


@pytest.mark.parametrize("verb", ["RCPT", "DOT"])
def test_what_a_server_asks_to_try_later_is_deferred_longer_each_time_and_then_accepted(
    verb: str, store: Store, clock: Clock
) -> None:
    gather(store, ALICE)
    held(store, minutes=0, clock=clock)
    waits = []
    with mail_server(always(verb, "450 4.2.0 greylisted")) as server:
        worker = worker_to(server, store)
        for _ in range(3):
            worker.work_once()
            [row] = deliveries(store)
            assert row.next_try_at
            waits.append(row.next_try_at - clock.now())
            asked = len(server.commands)
            clock.moment = row.next_try_at - timedelta(seconds=1)
            assert not worker.work_once().any()
            assert len(server.commands) == asked
            assert counts(store) == {"deferred": 1}
            assert state(store) is MailingState.SENDING
            clock.advance(seconds=1)
        server.script = lambda _verb, _taken: None
        worker.work_once()
    assert timedelta(minutes=3) < waits[0] < waits[1] < waits[2] < timedelta(minutes=30)
    assert server.recipients() == [ALICE.address]
    assert counts(store) == {"accepted": 1}
    assert deliveries(store)[0].attempts == 4
    assert state(store) is MailingState.SENT


def test_a_server_that_always_asks_to_try_later_is_given_up_after_two_days(store: Store, clock: Clock) -> None:
    gather(store, ALICE)
    held(store, minutes=0, clock=clock)
    start = clock.now()
    with mail_server(always("RCPT", "450 later")) as server:
        worker = worker_to(server, store)
        while counts(store) != {"failed": 1}:
            worker.work_once()
            clock.advance(hours=1)
            assert clock.now() - start < timedelta(days=3)
    assert clock.now() - start > timedelta(days=1, hours=12)
    assert reasons(store) == ["gave up after two days: 450 later"]
    assert state(store) is MailingState.SENT


def test_the_two_days_are_a_letters_own_however_long_ago_its_mailing_began(store: Store, clock: Clock) -> None:
    gather(store, ALICE)
    held(store, minutes=0, clock=clock)
    with store.writing() as session:
        services.release_due(session, now=clock.now())
    clock.advance(days=3)
    with mail_server(once("RCPT", "450 later")) as server:
        worker = worker_to(server, store)
        worker.work_once()
        assert counts(store) == {"deferred": 1}
        clock.advance(minutes=10)
        worker.work_once()
    assert counts(store) == {"accepted": 1}


def test_what_was_put_off_before_a_halt_has_its_two_days_again_after_it(store: Store, clock: Clock) -> None:
    gather(store, ALICE)
    mailing = held(store, minutes=0, clock=clock)
    with mail_server(always("RCPT", "450 later")) as server:
        worker = worker_to(server, store)
        worker.work_once()
        with store.writing() as session:
            services.halt(session, mailing.id, "somebody has to look", now=clock.now())
        clock.advance(days=3)
        with store.writing() as session:
            services.resume(session, mailing.slug)
        worker.work_once()
    assert deliveries(store)[0].attempts == 2
    assert counts(store) == {"deferred": 1}


def test_a_server_that_closes_at_once_is_not_asked_again_for_every_letter(store: Store, clock: Clock) -> None:
    gather(store, *CROWD[:5])
    held(store, minutes=0, clock=clock)
    with mail_server(always("RCPT", "421 4.3.2 too busy")) as server:
        worker_to(server, store).work_once()
    assert server.connections == 1
    assert counts(store) == {"deferred": 5}
    assert {row.attempts for row in deliveries(store)} == {0}


def test_a_server_that_takes_so_many_letters_a_connection_gets_the_others_over_a_new_one(
    store: Store, clock: Clock
) -> None:
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    said = ["421 4.7.0 enough for one connection"]
    with mail_server(lambda verb, taken: said.pop() if verb == "MAIL" and taken == 4 and said else None) as server:
        worker_to(server, store).work_once()
    assert server.connections == 2
    assert server.recipients() == [person.address for person in CROWD]


@pytest.mark.parametrize("answer", ["close", "421 4.3.2 shutting down"])
def test_a_letter_that_was_not_shown_whole_is_sent_later_at_no_cost(answer: str, store: Store, clock: Clock) -> None:
    gather(store, ALICE, BOB)
    held(store, minutes=0, clock=clock)
    with mail_server(always("RCPT", answer)) as server:
        worker = worker_to(server, store)
        worker.work_once()
        assert counts(store) == {"deferred": 2}
        assert [row.attempts for row in deliveries(store)] == [0, 0]
        server.script = lambda _verb, _taken: None
        clock.advance(minutes=10)
        worker.work_once()
    assert sorted(server.recipients()) == [ALICE.address, BOB.address]
    assert counts(store) == {"accepted": 2}


@pytest.mark.parametrize("answer", ["close", "hello?"])
def test_a_letter_whose_answer_was_lost_is_in_doubt_and_never_sent_again(
    answer: str, store: Store, clock: Clock
) -> None:
    gather(store, ALICE, BOB)
    held(store, minutes=0, clock=clock)
    with mail_server(once("DOT", answer)) as server:
        worker = worker_to(server, store)
        worker.work_once()
        clock.advance(days=3)
        worker.work_once()
    assert [row.state for row in deliveries(store)] == ["unknown", "accepted"]
    assert server.recipients() == [BOB.address]
    assert sum(command.startswith("RCPT TO:<alice") for command in server.commands) == 1
    assert state(store) is MailingState.SENT


def test_a_421_at_the_end_of_a_letter_says_that_nobody_has_it(store: Store, clock: Clock) -> None:
    gather(store, ALICE)
    held(store, minutes=0, clock=clock)
    with mail_server(once("DOT", "421 shutting down")) as server:
        worker = worker_to(server, store)
        worker.work_once()
        assert counts(store) == {"deferred": 1}
        clock.advance(minutes=10)
        worker.work_once()
    assert server.recipients() == [ALICE.address]


def test_a_connection_that_was_idle_for_too_long_costs_nobody_a_wait(store: Store, clock: Clock) -> None:
    gather(store, ALICE)
    with mail_server() as server:
        worker = worker_to(server, store)
        for slug, script in (("one", None), ("two", once("MAIL", "close")), ("three", once("MAIL", "421 idle"))):
            if script:
                server.script = script
            held(store, about(slug), minutes=0, clock=clock)
            worker.work_once()
            assert counts(store, slug) == {"accepted": 1}
    assert server.connections == 3
    assert len(server.letters) == 3


def test_where_there_is_no_server_letters_wait(store: Store, clock: Clock) -> None:
    gather(store, ALICE, BOB)
    held(store, minutes=0, clock=clock)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nowhere = MailServer(port=unused.getsockname()[1])
    worker_to(nowhere, store).work_once()
    assert counts(store) == {"deferred": 2}
    assert reasons(store)[0] == "no connection: [Errno 111] Connection refused"
    clock.advance(minutes=10)
    with mail_server() as server:
        worker_to(server, store).work_once()
    assert counts(store) == {"accepted": 2}


def test_the_letters_of_a_worker_that_is_gone_are_in_doubt_within_its_patience_and_never_sent_again(
    store: Store, clock: Clock
) -> None:
    gather(store, ALICE, BOB, CAROL)
    mailing = held(store, minutes=0, clock=clock)
    with mail_server() as server:
        gone, other = (worker_to(server, store, number) for number in (1, 2))
        gone.send_heartbeat(clock.now())  # it lives, it takes two, and is not heard of again
        with store.writing() as session:
            services.release_due(session, now=clock.now())
            claims.claim(session, mailing.id, worker_id=gone.id, most=2, daily_cap=0, now=clock.now())
        other.work_once()
        assert counts(store) == {"submitting": 2, "accepted": 1}
        assert state(store) is MailingState.SENDING
        clock.advance(seconds=PATIENCE.total_seconds())
        other.work_once()
        assert counts(store) == {"accepted": 1, "unknown": 2}
        clock.advance(days=3)
        other.work_once()
    assert server.recipients() == [CAROL.address]
    assert reasons(store)[0] == "the worker ended before the server's answer was written down"
    assert state(store) is MailingState.SENT


def test_the_letters_of_a_worker_that_is_gone_are_in_doubt_though_a_long_mailing_is_under_way(
    store: Store, clock: Clock
) -> None:
    gather(store, *CROWD)
    mailing = held(store, minutes=0, clock=clock)
    seen: list[dict[str, int]] = []

    def script(verb: str, _taken: int) -> str | None:
        if verb == "DOT":
            clock.advance(seconds=6)
            seen.append(counts(store))
        return None

    with mail_server(script) as server:
        gone, other = worker_to(server, store, 1), worker_to(server, store, 2, max_in_flight="1")
        gone.send_heartbeat(clock.now())  # as above
        with store.writing() as session:
            services.release_due(session, now=clock.now())
            session.get_one(Mailing, mailing.id).canary = 0
            claims.claim(session, mailing.id, worker_id=gone.id, most=2, daily_cap=0, now=clock.now())
        other.work_once()
    assert "unknown" not in seen[0]
    assert seen[-1]["unknown"] == 2
    assert counts(store) == {"accepted": len(CROWD) - 2, "unknown": 2}


def test_a_worker_that_lives_keeps_its_letters_however_long_the_server_takes(store: Store, clock: Clock) -> None:
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)

    def script(verb: str, _taken: int) -> str | None:
        if verb == "DOT":
            clock.advance(seconds=7)
            with store.writing() as session:
                assert ledger.rescue(session, now=clock.now()) == 0
        return None

    with mail_server(script) as server:
        done = worker_to(server, store).work_once()
    assert done.accepted == len(server.letters) == len(CROWD)


def test_a_worker_that_was_given_up_and_comes_back_tells_what_it_knows(store: Store, clock: Clock) -> None:
    gather(store, ALICE, BOB)
    mailing = held(store, minutes=0, clock=clock)
    with store.writing() as session:
        services.release_due(session, now=clock.now())
        window = claims.claim(session, mailing.id, worker_id="slow", most=2, daily_cap=0, now=clock.now())
        first, second = (one.id for one in window.claimed)
    clock.advance(minutes=1)
    with mail_server() as server:
        other = worker_to(server, store)
        other.work_once()
        assert counts(store) == {"unknown": 2}
        assert state(store) is MailingState.SENT
        with store.writing() as session:
            known = {first: Answer(Outcome.ACCEPTED, "250 ok"), second: Answer(Outcome.NOT_SENT, "no connection")}
            ledger.record(session, known, now=clock.now())
        assert state(store) is MailingState.SENDING
        clock.advance(minutes=10)
        other.work_once()
    assert server.recipients() == [BOB.address]
    assert counts(store) == {"accepted": 2}
    assert state(store) is MailingState.SENT


def test_a_worker_that_ends_in_good_order_leaves_no_letter_in_doubt(store: Store, clock: Clock) -> None:
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    with mail_server() as server:
        first = worker_to(server, store)
        first.work_once()
        first.sign_off()
        worker_to(server, store, 2).work_once()
    assert counts(store) == {"accepted": len(CROWD)}


@pytest.mark.parametrize("attempt", range(2))
def test_workers_at_once_send_nothing_twice_and_leave_nothing_out(attempt: int, store: Store, clock: Clock) -> None:
    gather(store, *CROWD)
    for slug in ("one", "two"):
        held(store, about(slug), minutes=0, clock=clock)
    start = threading.Barrier(3)

    def work(number: int) -> int:
        worker = worker_to(server, store, number, max_in_flight="2")
        start.wait()
        return worker.work_once().accepted

    with mail_server() as server, ThreadPoolExecutor(3) as pool:
        accepted = list(pool.map(work, range(3)))
    assert sum(accepted) == 2 * len(CROWD), attempt
    assert sorted(server.recipients()) == sorted([person.address for person in CROWD] * 2)
    # Whoever was last to look calls it sent.
    worker_to(server, store, 9).work_once()
    for slug in ("one", "two"):
        assert counts(store, slug) == {"accepted": len(CROWD)}
        assert state(store, slug) is MailingState.SENT


def test_a_link_that_somebody_asked_for_is_tried_again_until_it_is_accepted(store: Store, clock: Clock) -> None:
    with store.writing() as session:
        request_link(session, Address.parse(ALICE.address), now=clock.now(), quiet=False)
    with mail_server(always("RCPT", "450 later")) as server:
        worker = worker_to(server, store)
        assert worker.work_once().singles == 0
        server.script = lambda _verb, _taken: None
        assert worker.work_once().singles == 0
        clock.advance(minutes=2)
        assert worker.work_once().singles == 1
        clock.advance(days=1)
        assert worker.work_once().singles == 0
    assert server.recipients() == [ALICE.address]


def test_a_link_that_no_server_takes_is_given_up(store: Store, clock: Clock) -> None:
    with store.writing() as session:
        request_link(session, Address.parse(ALICE.address), now=clock.now(), quiet=False)
    with mail_server(always("RCPT", "550 no such user alice@example.com")) as server:
        worker_to(server, store).work_once()
        clock.advance(days=1)
        worker_to(server, store).work_once()
    with store.reading() as session:
        [request] = session.scalars(select(LetterRequest))
    assert request.gave_up == "550 no such user …@…"
    assert sum(command.startswith("RCPT") for command in server.commands) == 1


def test_a_server_without_smtputf8_gets_no_letter_to_an_address_beyond_ascii(store: Store, clock: Clock) -> None:
    gather(store, ALICE, type(ALICE)("Jürgen", "jürgen@example.com"))
    held(store, minutes=0, clock=clock)
    with mail_server(always("EHLO", "250 sink.example")) as server:
        worker_to(server, store).work_once()
    assert counts(store) == {"accepted": 1, "failed": 1}
    assert server.recipients() == [ALICE.address]
    assert "SMTPUTF8" in str(reasons(store)[1])


def test_an_address_beyond_ascii_gets_its_letter_where_the_server_takes_them(store: Store, clock: Clock) -> None:
    gather(store, type(ALICE)("Jürgen", "jürgen@bücher.example"), ALICE)
    held(store, minutes=0, clock=clock)
    with mail_server() as server:
        worker_to(server, store).work_once()
    assert server.recipients() == ["jürgen@bücher.example", ALICE.address]


def test_a_server_without_tls_gets_no_letter_where_tls_was_asked_for(store: Store, clock: Clock) -> None:
    gather(store, ALICE)
    held(store, minutes=0, clock=clock)
    with mail_server() as server:
        worker = worker_to(server, store)
        worker.transport = SmtpPool(server.url.replace("smtp:", "smtp+starttls:"), 3)
        worker.work_once()
    assert counts(store) == {"deferred": 1}
    assert [command.split(" ")[0] for command in server.commands if "quit" not in command.lower()] == ["ehlo"]


def test_the_next_letters_are_found_without_a_look_at_all_that_wait(sqlite_store: Store, clock: Clock) -> None:
    gather(sqlite_store, *CROWD)
    mailing = held(sqlite_store, minutes=0, clock=clock)
    asked: list[str] = []

    def note(statement: str) -> None:
        if statement.startswith("SELECT") and "FROM deliveries" in statement:
            asked.append(statement)

    with sqlite_store.writing() as session:
        services.release_due(session, now=clock.now())
        driver = driver_of(session).connection
        # With the values in their places, as they were when it was run.
        driver.set_trace_callback(note)
        claims.claim(session, mailing.id, worker_id="one", most=4, daily_cap=2, now=clock.now(), after=1)
        driver.set_trace_callback(None)
        plans = [" ".join(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")) for statement in asked]
    assert len(plans) == 3
    assert all("USING INDEX" in plan and "SCAN deliveries" not in plan for plan in plans)
    # What is counted for a day is grouped, which sorts a window's few; nothing else is sorted.
    assert ["B-TREE" in plan for plan in plans] == [False, False, "GROUP BY" in plans[2]]


def test_what_is_in_flight_is_found_without_a_look_at_all_that_ever_left(sqlite_store: Store, clock: Clock) -> None:
    asked: list[str] = []
    with sqlite_store.writing() as session:
        driver = driver_of(session).connection
        driver.set_trace_callback(lambda statement: asked.append(statement) if "deliveries" in statement else None)
        ledger.rescue(session, now=clock.now())
        ledger.in_flight_elsewhere(session, "one", since=clock.now())
        driver.set_trace_callback(None)
        plans = [" ".join(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")) for statement in asked]
    assert len(plans) == 2
    index = "USING INDEX ix_deliveries_mailing_id_state_id (mailing_id=? AND state=?)"
    assert all(index in plan and "SCAN deliveries" not in plan for plan in plans)


# What waits, beside a small crowd: enough that a database without a way to the next few would read and sort it all.
MANY = 20_000
WAITING = """
    INSERT INTO deliveries (mailing_id, state, attempts, changed_at, next_try_at)
    SELECT :mailing, :state, 0, :now, CAST(:now AS timestamptz) + number * interval '1 second'
    FROM generate_series(1, :many) AS number
"""


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All steps of a plan of PostgreSQL's."""
    yield plan
    for below in plan.get("Plans", []):
        yield from steps(below)


@pytest.mark.parametrize("backend", [POSTGRESQL])
def test_postgresql_too_finds_the_next_letters_without_a_look_at_all_that_wait(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather(store, *CROWD)
    mailing = held(store, minutes=0, clock=clock)
    with store.writing() as session:
        services.release_due(session, now=clock.now())
        for waits in ("queued", "deferred", "accepted"):
            values = {"mailing": mailing.id, "state": waits, "now": clock.now(), "many": MANY}
            session.execute(text(WAITING), values)
    with store.writing() as session:
        session.execute(text("ANALYZE"))
    plans: list[tuple[str, dict[str, Any]]] = []

    run = psycopg.Cursor.execute

    def explained(cursor: Any, statement: Any, values: Any = None, **how: Any) -> Any:  # noqa: ANN401 - a driver's own
        if str(statement).startswith("SELECT") and "FROM deliveries" in statement:
            # It is run, too: what counts is how many rows it looked at.
            run(cursor, f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
            plans.append((statement, cursor.fetchall()[0][0][0]["Plan"]))
        return run(cursor, statement, values, **how)

    monkeypatch.setattr(psycopg.Cursor, "execute", explained)
    with store.writing() as session:
        for after in (0, 6):
            clock.advance(seconds=4)
            window = claims.claim(
                session, mailing.id, worker_id="one", most=8, fresh=4, daily_cap=2, now=clock.now(), after=after
            )
            # Nobody is behind those that were put off.
            assert (len(window.claimed), window.skipped) == (4, 4)
    assert len(plans) == 6
    for statement, plan in plans:
        for step in steps(plan):
            assert step["Actual Rows"] + step.get("Rows Removed by Filter", 0) <= 8 + len(CROWD), (statement, plan)
            assert "Seq Scan" not in step["Node Type"], (statement, plan)
            # What is counted for a day is grouped, which may sort a window's few; nothing else is sorted.
            assert "Sort" not in step["Node Type"] or "GROUP BY" in statement, (statement, plan)


class Waiting(threading.Event):
    """Whoever waits for this, waits while a clock goes on."""

    def __init__(self, clock: Clock, also: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.clock = clock
        self.also = also

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout
        self.clock.advance(seconds=4)
        self.also()
        return self.is_set()


@pytest.mark.parametrize("lives", ["lives", "is gone"])
def test_who_works_once_waits_for_word_of_another_worker(lives: str, sqlite_store: Store, clock: Clock) -> None:
    gather(sqlite_store, ALICE, BOB, CAROL)
    mailing = held(sqlite_store, minutes=0, clock=clock)
    said: list[str] = []
    with mail_server() as server:
        other, worker = (worker_to(server, sqlite_store, number) for number in (1, 2))
        other.send_heartbeat(clock.now())  # it has taken two
        with sqlite_store.writing() as session:
            services.release_due(session, now=clock.now())
            claims.claim(session, mailing.id, worker_id=other.id, most=2, daily_cap=0, now=clock.now())
        stop = Waiting(
            clock, (lambda: other.send_heartbeat(clock.now())) if lives == "lives" else (lambda: None)
        )  # or is not heard of
        assert worker.work_through(stop, tell=said.append).accepted == 1
    assert said == ["2 letters are in flight at another worker: waiting to hear from it."]
    in_doubt = {"submitting": 2} if lives == "lives" else {"unknown": 2}
    assert counts(sqlite_store) == {"accepted": 1, **in_doubt}
