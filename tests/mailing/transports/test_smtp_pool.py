"""The pool of connections: it opens few, and only for many letters, and survives what happens to one of them."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import product

import pytest
from sqlalchemy import PoolProxiedConnection, select
from sqlalchemy.exc import IntegrityError, OperationalError

from feedback_app.customers.addresses import Address
from feedback_app.customers.services import request_link
from feedback_app.db.store import Store
from feedback_app.letter_queue import LetterKind, LetterRequest
from feedback_app.mailing.delivery import batches
from feedback_app.mailing.delivery.batches import BatchSender
from feedback_app.mailing.delivery.claims import Batch
from feedback_app.mailing.mailings import services
from feedback_app.mailing.transports import smtp_pool
from feedback_app.mailing.transports.smtp_pool import SmtpPool
from tests.support.clock import Clock
from tests.support.mailings import CROWD, FREE_SOCKS, about, counts, gather, held, reasons, worker_to
from tests.support.smtp import MailServer, mail_server

COMMIT = "COMMIT"
EVERYBODY = sorted(person.address for person in CROWD)


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A mail server."""
    with mail_server() as running:
        yield running


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make two letters in a row enough for another connection."""
    monkeypatch.setattr(smtp_pool, "LETTERS_PER_CONNECTION", 2)


class Scripts:
    """A server's replies to each of its connections, by the connection's number and the command."""

    def __init__(self, server: MailServer) -> None:
        self._numbers: dict[int, int] = {}
        self.answers: dict[tuple[int, str], str] = {}
        # How often each connection sent each command.
        self.said: dict[tuple[int, str], int] = {}
        server.script = self.answer

    def answer(self, verb: str, _taken: int) -> str | None:
        """Return the reply to a command. The server has a thread for each connection."""
        thread = threading.get_ident()
        if verb == "CONNECT":
            self._numbers[thread] = len(self._numbers) + 1
        key = (self._numbers[thread], verb)
        self.said[key] = self.said.get(key, 0) + 1
        return self.answers.get(key)


def test_few_letters_leave_over_one_connection(store: Store, server: MailServer, clock: Clock) -> None:
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker_to(server, store).work_once()
    assert sorted(server.recipients()) == EVERYBODY
    assert server.connections == 1


@pytest.mark.usefixtures("eager")
def test_many_letters_leave_over_a_few_connections_that_are_closed_after(
    store: Store, server: MailServer, clock: Clock
) -> None:
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker = worker_to(server, store, max_in_flight="5")
    worker.work_once()
    assert sorted(server.recipients()) == EVERYBODY
    assert counts(store) == {"accepted": 12}
    assert server.connections == 3
    assert "QUIT" not in server.commands
    worker.work_once()
    assert server.commands.count("QUIT") == 2
    held(store, about("a-second-one"), minutes=0, clock=clock)
    worker_to(server, store, 2, smtp_connections="1").work_once()
    assert server.connections == 4


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        ("CONNECT", "554 5.7.1 no more of you"),
        *product(("CONNECT", "MAIL", "RCPT", "DATA"), ("421 4.7.0 too many connections", "close")),
        ("EHLO", "close"),
    ],
)
def test_a_server_that_allows_one_connection_gets_all_letters_over_it(
    store: Store, server: MailServer, clock: Clock, verb: str, answer: str
) -> None:
    scripts = Scripts(server)
    scripts.answers = {(number, verb): answer for number in range(2, 20)}
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker = worker_to(server, store, max_in_flight="5")
    worker.work_once()
    assert counts(store) == {"accepted": 12}
    assert sorted(server.recipients()) == EVERYBODY
    tried = server.connections
    assert tried <= 8
    held(store, about("a-second-one"), minutes=0, clock=clock)
    worker.work_once()
    assert counts(store, "a-second-one") == {"accepted": 12}
    assert server.connections == tried


@pytest.mark.usefixtures("eager")
def test_after_a_while_a_server_is_asked_for_another_connection_again(
    store: Store, server: MailServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_pool, "RETRY_CONNECTION_AFTER", 0)
    scripts = Scripts(server)
    scripts.answers = {(2, "CONNECT"): "421 4.7.0 too many connections"}
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker_to(server, store, max_in_flight="5").work_once()
    assert counts(store) == {"accepted": 12}
    assert scripts.said[3, "DOT"]


def test_a_server_that_is_down_is_not_asked_for_more_connections(
    store: Store, server: MailServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_pool, "LETTERS_PER_CONNECTION", 1)
    server.script = lambda verb, _taken: "421 4.3.2 down" if verb == "CONNECT" else None
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker = worker_to(server, store)
    worker.work_once()
    assert counts(store) == {"deferred": 12}
    server.script = lambda _verb, _taken: None
    clock.advance(hours=1)
    worker.work_once()
    assert counts(store) == {"accepted": 12}
    assert worker.transport.parallel_letters == 3


@pytest.mark.usefixtures("eager")
def test_a_cancel_works_also_if_a_server_closes_connections(
    store: Store, server: MailServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Letters that a closed connection did not send are queued again, and leave only if the mailing goes on."""
    monkeypatch.setattr(batches, "STOP_CHECK_SECONDS", 0)
    scripts = Scripts(server)
    scripts.answers = {(number, "MAIL"): "421 4.7.0 too many connections" for number in range(2, 20)}
    cancelled = list[int]()

    def cancel_then(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken == 6 and not cancelled:
            cancelled.append(taken)
            with store.writing() as session:
                services.cancel(session, FREE_SOCKS.slug, now=clock.now())
        return scripts.answer(verb, taken)

    server.script = cancel_then
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker_to(server, store).work_once()
    found = counts(store)
    assert cancelled
    assert found.keys() == {"accepted", "skipped"}
    # The server was reading the seventh, and two were on their way.
    assert found["accepted"] == len(server.recipients()) <= 7 + 2


@pytest.mark.usefixtures("eager")
def test_a_server_that_serves_one_connection_at_a_time_delays_little(
    store: Store, server: MailServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_pool, "OPEN_TIMEOUT", 0.1)
    first_is_done = threading.Event()
    scripts = Scripts(server)

    def one_at_a_time(verb: str, taken: int) -> str | None:
        said = scripts.answer(verb, taken)
        if verb == "CONNECT" and scripts.said.get((2, "CONNECT")):
            first_is_done.wait(30)
        return said

    server.script = one_at_a_time
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker_to(server, store, max_in_flight="5").work_once()
    first_is_done.set()
    assert counts(store) == {"accepted": 12}
    assert server.connections == 2


@pytest.mark.usefixtures("eager")
def test_when_a_connection_breaks_only_the_letter_written_on_it_is_in_doubt(
    store: Store, server: MailServer, clock: Clock
) -> None:
    scripts = Scripts(server)
    scripts.answers = {(2, "DOT"): "close"}
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker_to(server, store, max_in_flight="5").work_once()
    assert counts(store) == {"accepted": 11, "unknown": 1}
    # The server took the letter before it hung up, or not at all; no reply says which.
    assert len(server.recipients()) == len(set(server.recipients())) == 11


@pytest.mark.usefixtures("eager")
def test_a_server_that_goes_down_defers_letters_on_every_connection(
    store: Store, server: MailServer, clock: Clock
) -> None:
    server.script = lambda verb, taken: "421 4.3.2 going down" if verb == "MAIL" and taken >= 6 else None
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker_to(server, store).work_once()
    found = counts(store)
    assert found.keys() == {"accepted", "deferred"}
    assert found["accepted"] == len(server.recipients())
    assert {reason for reason in reasons(store) if reason and "421" in reason}


@pytest.mark.usefixtures("eager")
def test_a_refusal_on_one_connection_concerns_its_letter_only(store: Store, server: MailServer, clock: Clock) -> None:
    unwanted = CROWD[7].address
    server.script = lambda verb, _taken: (
        "550 5.1.1 nobody here" if verb == "RCPT" and server.commands[-1] == f"RCPT TO:<{unwanted}>" else None
    )
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    worker_to(server, store, max_in_flight="5", halt_share="1").work_once()
    assert counts(store) == {"accepted": 11, "failed": 1}
    assert sorted(server.recipients()) == [address for address in EVERYBODY if address != unwanted]


def test_a_pool_without_letters_opens_no_connection(server: MailServer) -> None:
    transport = SmtpPool(server.url, 3)
    assert transport.answers_so_far() == transport.all_answers() == []
    transport.rest()
    transport.close()
    assert server.connections == 0


@pytest.fixture
def rolling(
    eager: None,  # noqa: ARG001 - with several connections
    monkeypatch: pytest.MonkeyPatch,
) -> list[int]:
    """Let letters stay on their way during the next claim, also in small batches; how many did, at each claim."""
    monkeypatch.setattr(batches, "SMALL_SHARE", 1)
    stayed = list[int]()
    claim = BatchSender._claim  # noqa: SLF001 - counted there

    def counted(self: BatchSender, mailing_id: int, now: datetime) -> Batch:
        stayed.append(len(self._in_flight))
        return claim(self, mailing_id, now)

    monkeypatch.setattr(BatchSender, "_claim", counted)
    return stayed


def without_canary(store: Store, clock: Clock) -> None:
    """Let the mailing begin without a canary."""
    held(store, minutes=0, clock=clock)
    with store.writing() as session:
        services.release_due(session, now=clock.now())
        services.find_mailing(session, FREE_SOCKS.slug).canary = 0


def test_letters_on_their_way_during_the_next_claim_count_as_in_flight(
    store: Store, server: MailServer, clock: Clock, rolling: list[int]
) -> None:
    most = list[int]()

    def look(verb: str, _taken: int) -> None:
        if verb == "MAIL":
            most.append(counts(store).get("submitting", 0))

    server.script = look
    gather(store, *CROWD)
    without_canary(store, clock)
    worker_to(server, store, max_in_flight="6").work_once()
    assert counts(store) == {"accepted": 12}
    assert sorted(server.recipients()) == EVERYBODY
    assert max(rolling) > 0
    assert max(most) <= 6


def test_answers_are_recorded_after_a_failing_store_works_again(
    store: Store, server: MailServer, clock: Clock, rolling: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    gather(store, *CROWD)
    without_canary(store, clock)
    worker = worker_to(server, store, max_in_flight="6")
    write, failed = store.write, list[int]()

    def fail_once(work: Callable[..., object], *more: object) -> object:
        if any(rolling) and not failed:
            failed.append(1)
            raise OperationalError(COMMIT, None, Exception())
        return write(work, *more)

    monkeypatch.setattr(store, "write", fail_once)
    with pytest.raises(OperationalError):
        worker.work_once()
    # From now on the server hangs up; its replies before that were read.
    taken = len(server.letters)
    server.script = lambda verb, _taken: "close" if verb == "MAIL" else None
    worker.work_once()
    assert counts(store)["accepted"] == taken
    assert "unknown" not in counts(store)


def test_letters_of_a_claim_that_was_rolled_back_are_not_sent(
    store: Store, server: MailServer, clock: Clock, rolling: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    dialect = store.engine.dialect
    commit, gave_way = dialect.do_commit, list[int]()

    def give_way_once(connection: PoolProxiedConnection) -> None:
        if len(rolling) == 2 and not gave_way:
            gave_way.append(1)
            raise IntegrityError(COMMIT, None, Exception())
        commit(connection)

    monkeypatch.setattr(dialect, "do_commit", give_way_once)
    gather(store, *CROWD)
    without_canary(store, clock)
    worker_to(server, store, max_in_flight="6").work_once()
    assert gave_way
    assert counts(store) == {"accepted": 12}
    assert sorted(server.recipients()) == EVERYBODY


def test_a_link_letter_is_sent_between_the_letters_of_a_mailing(
    store: Store, server: MailServer, clock: Clock, rolling: list[int]
) -> None:
    """Letters on their way are answered first, so that the link letter's answer is its own."""
    gather(store, *CROWD)
    without_canary(store, clock)
    worker = worker_to(server, store, max_in_flight="6")
    asked = threading.Event()

    def ask(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken >= 5 and not asked.is_set():
            asked.set()
            with store.writing() as session:
                request_link(session, Address.parse(CROWD[0].address), now=clock.now(), quiet=False)
            clock.advance(seconds=1)
        again = f"RCPT TO:<{CROWD[0].address}>"
        refused = verb == "RCPT" and server.commands[-1] == again and server.commands.count(again) > 1
        return "550 5.1.1 not any more" if refused else None

    server.script = ask
    worker.work_once()
    assert counts(store) == {"accepted": 12}
    assert sorted(server.recipients()) == EVERYBODY
    with store.reading() as session:
        [request] = session.scalars(select(LetterRequest).where(LetterRequest.kind == LetterKind.PREFERENCES_LINK))
    assert request.gave_up == "550 5.1.1 not any more"
    assert max(rolling) > 0
