"""The canary: the owner's copy leaves first, then a few letters; if too many are refused, the rest stays here."""

import pytest

from feedback_app.db.store import Store
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.canary import canary_of
from feedback_app.mailing.models import MailingState
from tests.support.clock import Clock
from tests.support.mailings import CROWD, counts, gather, held, read, state, text_of, worker_to
from tests.support.smtp import MailServer, mail_server

OWNER = "owner@mongrelsocks.example"


def refusing(count: int, words: str = "550 no such user") -> list[str]:
    return [words] * count


def resume(store: Store) -> None:
    with store.writing() as session:
        services.resume(session, "free-socks")


@pytest.mark.parametrize(("total", "canary"), [(0, 0), (5, 0), (6, 5), (500, 5), (501, 6), (1_000_000, 10_000)])
def test_the_canary_is_a_hundredth_and_at_least_five(total: int, canary: int) -> None:
    assert canary_of(total) == canary


def test_more_refusals_in_the_canary_than_allowed_halt_the_mailing(store: Store, clock: Clock) -> None:
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    refusals = refusing(2)
    with mail_server(lambda verb, _: refusals.pop() if verb == "RCPT" and refusals else None) as server:
        worker = worker_to(server, store)
        worker.work_once()
        assert state(store) is MailingState.HALTED
        assert counts(store) == {"queued": len(CROWD) - 5, "accepted": 3, "failed": 2}
        with store.reading() as session:
            reason = services.find_mailing(session, "free-socks").reason
        assert reason == "2 of the first 5 letters were refused; most of them with: 550 no such user"
        worker.work_once()
        assert len(server.letters) == 3
        resume(store)
        worker.work_once()
    assert state(store) is MailingState.SENT
    assert counts(store) == {"accepted": len(CROWD) - 2, "failed": 2}


def test_as_many_refusals_as_are_allowed_halt_nothing(sqlite_store: Store, clock: Clock) -> None:
    gather(sqlite_store, *CROWD)
    held(sqlite_store, minutes=0, clock=clock)
    refusals = refusing(1)
    with mail_server(lambda verb, _: refusals.pop() if verb == "RCPT" and refusals else None) as server:
        worker_to(server, sqlite_store).work_once()
    assert counts(sqlite_store) == {"accepted": len(CROWD) - 1, "failed": 1}
    assert state(sqlite_store) is MailingState.SENT


def test_a_deferral_is_no_refusal(sqlite_store: Store, clock: Clock) -> None:
    gather(sqlite_store, *CROWD)
    held(sqlite_store, minutes=0, clock=clock)
    later = refusing(5, words="451 greylisted")
    with mail_server(lambda verb, _: later.pop() if verb == "RCPT" and later else None) as server:
        worker_to(server, sqlite_store).work_once()
    assert counts(sqlite_store) == {"accepted": len(CROWD) - 5, "deferred": 5}


def test_no_other_letter_leaves_before_the_canary_is_answered(sqlite_store: Store, clock: Clock) -> None:
    gather(sqlite_store, *CROWD)
    held(sqlite_store, minutes=0, clock=clock)
    waiting: list[dict[str, int]] = []

    def script(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken < 5:
            waiting.append(counts(sqlite_store))
        return None

    with mail_server(script) as server:
        worker_to(server, sqlite_store).work_once()
    assert all(found["queued"] == len(CROWD) - 5 for found in waiting)
    assert len(server.letters) == len(CROWD)


def test_the_owner_gets_a_copy_before_any_customer(store: Store, sink: MailServer, clock: Clock) -> None:
    gather(store, *CROWD)
    held(store, clock=clock)
    worker = worker_to(sink, store, owner_email=OWNER)
    worker.work_once()
    assert sink.letters == []
    clock.advance(minutes=10)
    worker.work_once()
    assert sink.recipients()[0] == OWNER
    assert read(sink.letters[0].data)["Subject"] == "Free socks"
    assert "Hello friend." in text_of(sink.letters[0].data)
    assert sink.recipients().count(OWNER) == 1
    assert counts(store) == {"accepted": len(CROWD)}


def test_a_full_mailbox_of_the_owner_delays_a_mailing_half_an_hour(sqlite_store: Store, clock: Clock) -> None:
    gather(sqlite_store, *CROWD)
    held(sqlite_store, minutes=0, clock=clock)
    server_side: list[MailServer] = []

    def script(verb: str, _taken: int) -> str | None:
        full = verb == "RCPT" and OWNER in server_side[0].commands[-1]
        return "452 mailbox full" if full else None

    with mail_server(script) as server:
        server_side.append(server)
        worker = worker_to(server, sqlite_store, owner_email=OWNER)
        worker.work_once()
        assert counts(sqlite_store) == {"queued": len(CROWD)}
        clock.advance(minutes=31)
        worker.work_once()
    assert counts(sqlite_store) == {"accepted": len(CROWD)}


def test_the_owner_is_told_of_a_halt_by_mail(sqlite_store: Store, clock: Clock) -> None:
    gather(sqlite_store, *CROWD)
    held(sqlite_store, minutes=0, clock=clock)
    server_side: list[MailServer] = []

    def script(verb: str, _taken: int) -> str | None:
        customer = verb == "RCPT" and OWNER not in server_side[0].commands[-1]
        return "550 we don't like socks" if customer else None

    with mail_server(script) as server:
        server_side.append(server)
        worker = worker_to(server, sqlite_store, owner_email=OWNER)
        worker.work_once()
        worker.work_once()
    assert state(sqlite_store) is MailingState.HALTED
    assert server.recipients() == [OWNER, OWNER]
    report = server.letters[1].data
    assert read(report)["Subject"] == "free-socks has stopped"
    assert read(report)["Auto-Submitted"] == "auto-generated"
    assert "550 we don't like socks" in text_of(report)
    assert "undisclosed mail resume free-socks" in text_of(report)
    assert "List-Unsubscribe" not in read(report)


def test_two_workers_send_the_owner_one_copy_however_long_that_takes(store: Store, clock: Clock) -> None:
    gather(store, *CROWD[:2])
    held(store, minutes=0, clock=clock)

    def script(verb: str, taken: int) -> str | None:
        if verb == "DOT" and taken == 0:
            clock.advance(minutes=4)
            assert worker_to(server, store, 2, owner_email=OWNER).work_once().singles == 0
        return None

    with mail_server(script) as server:
        worker_to(server, store, 1, owner_email=OWNER).work_once()
    assert server.recipients() == [OWNER, *(person.address for person in CROWD[:2])]
