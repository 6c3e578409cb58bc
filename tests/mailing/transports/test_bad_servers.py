"""Servers and clocks that misbehave: a clear line, and a ledger that is right afterwards."""

import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from feedback_app.db.store import Store
from feedback_app.heartbeats import PATIENCE
from feedback_app.mailing.delivery import claims, ledger
from feedback_app.mailing.mailings import services
from feedback_app.mailing.transports import smtp_connection
from feedback_app.mailing.transports.smtp_connection import Broken, SmtpConnection
from feedback_app.mailing.transports.smtp_pool import SmtpPool
from tests.support.certificates import Authority
from tests.support.clock import Clock
from tests.support.mailings import CROWD, counts, gather, held, reasons, worker_to
from tests.support.people import ALICE, BOB
from tests.support.smtp import MailServer, mail_server

STEPS = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"]
NAME_AND_PASSWORD = ("socks", "a pair of s@cks")
SIGNED_IN = "socks:a%20pair%20of%20s%40cks@"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Who vouches for servers."""
    return Authority.at(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The same, and this machine trusts it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


@pytest.fixture
def server() -> Iterator[MailServer]:
    """A mail server."""
    with mail_server() as running:
        yield running


def outcome(store: Store, clock: Clock, server: MailServer, url: str) -> tuple[dict[str, int], str]:
    """Where Alice's letter stands after it was sent to this address, and the line that says why."""
    gather(store, ALICE)
    held(store, minutes=0, clock=clock)
    worker = worker_to(server, store)
    worker.transport = SmtpPool(url, 3)
    worker.work_once()
    worker.transport.close()
    return counts(store), reasons(store)[0] or ""


def said(server: MailServer) -> set[str]:
    """What was said to a server, in first words."""
    return {command.split(" ")[0].upper() for command in server.commands}


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_an_encrypted_connection_to_a_server_that_is_who_it_says_takes_the_letter(
    scheme: str, sqlite_store: Store, clock: Clock, server: MailServer, trusted: Authority
) -> None:
    server.context, server.from_the_start = trusted.context_for("127.0.0.1"), scheme == "smtps"
    found, _ = outcome(sqlite_store, clock, server, server.url_as(scheme))
    assert found == {"accepted": 1}
    assert server.recipients() == [ALICE.address]


@pytest.fixture(params=["somebody else", "nobody's friend"])
def impostor(request: pytest.FixtureRequest, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server with somebody else's name, or one for which nobody vouches whom this machine trusts."""
    if request.param == "somebody else":
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        return authority.context_for("somebody-else.example")
    return authority.context_for("127.0.0.1")


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
def test_a_server_that_can_not_show_who_it_is_sees_no_letter(
    scheme: str, sqlite_store: Store, clock: Clock, server: MailServer, impostor: ssl.SSLContext
) -> None:
    server.context, server.from_the_start = impostor, scheme == "smtps"
    server.login = NAME_AND_PASSWORD
    found, why = outcome(sqlite_store, clock, server, server.url_as(scheme, SIGNED_IN))
    assert found == {"deferred": 1}
    assert "certificate verify failed" in why
    assert said(server) <= {"EHLO", "STARTTLS"}


@pytest.mark.parametrize("answer", ["454 4.7.0 not now", "close"])
def test_a_server_whose_encryption_fails_sees_no_letter(
    answer: str, sqlite_store: Store, clock: Clock, server: MailServer, trusted: Authority
) -> None:
    server.context = trusted.context_for("127.0.0.1")
    server.script = lambda verb, _taken: answer if verb == "STAR" else None
    found, why = outcome(sqlite_store, clock, server, server.url_as("smtp+starttls"))
    assert found == {"deferred": 1}
    assert why.startswith(("454 4.7.0 not now", "no connection: "))
    assert said(server) <= {"EHLO", "STARTTLS"}


def test_a_password_is_said_only_where_nobody_can_listen_and_opens_the_door(
    sqlite_store: Store, clock: Clock, server: MailServer, trusted: Authority
) -> None:
    server.context, server.login = trusted.context_for("127.0.0.1"), NAME_AND_PASSWORD
    found, _ = outcome(sqlite_store, clock, server, server.url_as("smtp+starttls", SIGNED_IN))
    assert found == {"accepted": 1}
    verbs = [command.split(" ")[0].upper() for command in server.commands]
    assert verbs.index("STARTTLS") < verbs.index("AUTH") < verbs.index("MAIL")


def test_a_wrong_password_is_told_and_no_letter_is_shown(
    sqlite_store: Store, clock: Clock, server: MailServer, trusted: Authority
) -> None:
    server.context, server.login = trusted.context_for("127.0.0.1"), NAME_AND_PASSWORD
    found, why = outcome(sqlite_store, clock, server, server.url_as("smtp+starttls", "socks:guessed@"))
    assert found == {"deferred": 1}
    assert why == "535 5.7.8 wrong name or password"
    assert "MAIL" not in said(server)


def test_a_server_that_lets_nobody_sign_in_gets_neither_password_nor_letter(
    sqlite_store: Store, clock: Clock, server: MailServer
) -> None:
    server.login = NAME_AND_PASSWORD
    found, why = outcome(sqlite_store, clock, server, server.url_as("smtp", SIGNED_IN))
    assert found == {"deferred": 1}
    assert "AUTH extension not supported" in why
    assert said(server) == {"EHLO"}


@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_refuses_everything_gets_nothing_and_all_is_known(
    step: str, sqlite_store: Store, clock: Clock, server: MailServer
) -> None:
    server.script = lambda verb, _taken: "554 5.7.1 we take nothing" if verb in {step, "HELO"} else None
    gather(sqlite_store, *CROWD)
    held(sqlite_store, minutes=0, clock=clock)
    worker = worker_to(server, sqlite_store, halt_share="1", max_in_flight="4")
    worker.work_once()
    assert server.letters == []
    # Who is not let in may be by the next day; who was refused by name was refused.
    assert counts(sqlite_store) == {"deferred" if step in {"CONNECT", "EHLO"} else "failed": len(CROWD)}
    assert all("we take nothing" in str(reason) for reason in reasons(sqlite_store))


@pytest.mark.parametrize("way", ["in groups", "one by one"])
@pytest.mark.parametrize("step", STEPS)
def test_a_server_that_hangs_up_now_and_then_gets_every_letter_at_most_once(
    step: str, way: str, sqlite_store: Store, clock: Clock, server: MailServer
) -> None:
    server.pipelining = way == "in groups"
    asked: list[str] = []

    def script(verb: str, _taken: int) -> str | None:
        asked.append(verb)
        return "close" if verb == step and asked.count(verb) % 3 == 0 else None

    server.script = script
    gather(sqlite_store, *CROWD)
    held(sqlite_store, minutes=0, clock=clock)
    worker = worker_to(server, sqlite_store, max_in_flight="8")
    for _ in range(8):
        worker.work_once()
        clock.advance(minutes=10)
    got = server.recipients()
    found = counts(sqlite_store)
    assert len(set(got)) == len(got) == found["accepted"]
    # Only where a letter was whole and its answer was lost is it in doubt; this server had not taken it.
    assert found == {"accepted": len(CROWD)} if step != "DOT" else found["accepted"] + found["unknown"] == len(CROWD)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer may take longer than a moment."""
    monkeypatch.setattr(smtp_connection, "SECONDS", 0.2)


@pytest.mark.parametrize(("step", "state"), [("CONNECT", "deferred"), ("RCPT", "deferred"), ("DOT", "unknown")])
@pytest.mark.usefixtures("impatience")
def test_a_server_that_takes_too_long_is_left(
    step: str, state: str, sqlite_store: Store, clock: Clock, server: MailServer
) -> None:
    over = threading.Event()

    def script(verb: str, _taken: int) -> str | None:
        if verb == step:
            over.wait()
            return "close"
        return None

    server.script = script
    found, why = outcome(sqlite_store, clock, server, server.url)
    over.set()
    assert found == {state: 1}
    assert "timed out" in why or why == "the connection broke before the answer"


@pytest.mark.usefixtures("impatience")
def test_a_server_that_says_a_digit_at_a_time_is_left_when_its_answer_takes_too_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.02):
            ours.sendall(b"2")

    dripping = threading.Thread(target=drip)
    dripping.start()
    connection = SmtpConnection(client, ())
    with pytest.raises(Broken, match="timed out"):
        connection.reply()
    over.set()
    dripping.join()
    ours.close()
    connection.close()


@pytest.mark.usefixtures("impatience")
def test_of_a_group_that_could_not_be_written_whole_it_is_known_how_much_may_have_left(authority: Authority) -> None:
    for context in (None, authority.context_for("127.0.0.1")):
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        if context:
            trusting = ssl.create_default_context(cafile=authority.file)
            with ThreadPoolExecutor(1) as pool:
                shaking = pool.submit(context.wrap_socket, theirs, server_side=True)
                ours = trusting.wrap_socket(ours, server_hostname="127.0.0.1")
                theirs = shaking.result()
        connection = SmtpConnection(ours, ())
        with pytest.raises(Broken) as broken:
            connection.write(b"x" * 10_000_000)
        assert 0 < broken.value.left < 10_000_000
        connection.close()
        theirs.close()


def test_when_the_clock_is_put_back_a_worker_that_is_gone_does_not_count_as_alive(store: Store, clock: Clock) -> None:
    gather(store, ALICE, BOB)
    mailing = held(store, minutes=0, clock=clock)
    with mail_server() as server:
        gone, other = worker_to(server, store, 1), worker_to(server, store, 2)
        with store.writing() as session:
            services.release_due(session, now=clock.now())
            claims.claim(session, mailing.id, worker_id=gone.id, most=1, daily_cap=0, now=clock.now())
        gone.send_heartbeat(clock.now())
        clock.advance(days=-30)
        other.work_once()
        assert counts(store) == {"accepted": 1, "unknown": 1}
        assert server.recipients() == [BOB.address]


def test_when_the_clock_ran_ahead_for_a_while_nobody_waits_for_the_day_that_it_showed(
    store: Store, clock: Clock
) -> None:
    gather(store, ALICE, BOB)
    held(store, minutes=0, clock=clock)
    with mail_server(lambda verb, _taken: "450 later" if verb == "RCPT" else None) as server:
        worker = worker_to(server, store)
        worker.work_once()
        clock.advance(days=1)
        worker.work_once()
        assert counts(store) == {"deferred": 2}
        server.script = lambda _verb, _taken: None
        clock.advance(days=-1)
        worker.work_once()
    assert sorted(server.recipients()) == [ALICE.address, BOB.address]


def test_a_worker_that_slept_for_longer_than_others_believe_in_it_sends_nothing_that_it_had_ready(
    store: Store, clock: Clock
) -> None:
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    slept: list[int] = []

    def script(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken == 6 and not slept:
            # Meanwhile another worker has taken this one for gone.
            slept.append(taken)
            clock.advance(seconds=2 * PATIENCE.total_seconds())
            with store.writing() as session:
                slept.append(ledger.rescue(session, now=clock.now()))
        return None

    with mail_server(script) as server:
        worker_to(server, store, max_in_flight="4").work_once()
    doubtful = counts(store).get("unknown", 0)
    assert slept[1] > 0
    assert len(server.recipients()) + doubtful == len(CROWD)
    assert len(set(server.recipients())) == len(server.recipients())
