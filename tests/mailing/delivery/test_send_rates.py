"""Send rates: no more letters a second than the settings allow, in all and to one domain; other domains don't wait."""

from collections import Counter
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback_app.db.store import Store
from feedback_app.mailing.delivery.send_rates import SECOND, RateLimit, SendRates
from feedback_app.mailing.delivery.worker import MailWorker
from feedback_app.mailing.mailings import services
from tests.support.clock import OPPS_DAY, Clock
from tests.support.mailings import CROWD, counts, gather, held, state, worker_to
from tests.support.people import Person
from tests.support.smtp import MailServer, mail_server

ELSEWHERE = [Person(f"Neighbour {number}", f"neighbour{number}@other.example") for number in range(3)]


class Timed:
    """The script of a mail server that notes when it took each letter."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.moments: list[datetime] = []

    def script(self, verb: str, _taken: int) -> str | None:
        if verb == "DOT":
            self.moments.append(self.clock.now())
        return None

    def most_in_a_second(self, server: MailServer, domain: str = "") -> int:
        """Return the most letters to a domain that the server took within any one second."""
        taken = zip(self.moments, server.recipients(), strict=True)
        moments = [moment for moment, recipient in taken if recipient.endswith(domain)]
        return max(sum(start <= one < start + SECOND for one in moments) for start in moments)


def works_until_sent(worker: MailWorker, store: Store, clock: Clock) -> float:
    """Let a worker work every quarter of a second until all is sent; return how many seconds that took."""
    start = clock.now()
    while counts(store).keys() != {"accepted"}:
        worker.work_once()
        assert "submitting" not in counts(store)
        clock.advance(seconds=0.25)
        assert clock.now() - start < timedelta(minutes=5)
    return (clock.now() - start).total_seconds()


def test_no_more_letters_leave_in_a_second_than_the_send_rate(store: Store, clock: Clock) -> None:
    gather(store, *CROWD)
    held(store, minutes=0, clock=clock)
    timed = Timed(clock)
    with mail_server(timed.script) as server:
        worker = worker_to(server, store, send_rate="3")
        worker.work_once()
        # Letters that may not leave yet stay queued: another worker may send them.
        assert counts(store) == {"accepted": 3, "queued": len(CROWD) - 3}
        assert works_until_sent(worker, store, clock) >= 3
    assert timed.most_in_a_second(server) == 3
    assert len(set(server.recipients())) == len(server.letters) == len(CROWD)


def test_a_rate_below_one_a_second_spaces_letters_out(sqlite_store: Store, clock: Clock) -> None:
    gather(sqlite_store, *CROWD[:3])
    held(sqlite_store, minutes=0, clock=clock)
    with mail_server() as server:
        assert works_until_sent(worker_to(server, sqlite_store, send_rate="0.1"), sqlite_store, clock) >= 20
    assert len(server.letters) == 3


def test_the_domain_rate_limits_one_domain_and_others_do_not_wait(store: Store, clock: Clock) -> None:
    gather(store, *CROWD, *ELSEWHERE)
    held(store, minutes=0, clock=clock)
    timed = Timed(clock)
    with mail_server(timed.script) as server:
        worker = worker_to(server, store, domain_rate="2")
        worker.work_once()
        assert Counter(one.rpartition("@")[2] for one in server.recipients()) == {"example.com": 2, "other.example": 2}
        assert counts(store) == {"accepted": 4, "deferred": len(CROWD) + len(ELSEWHERE) - 4}
        works_until_sent(worker, store, clock)
        worker.work_once()
    assert timed.most_in_a_second(server, "example.com") == 2
    assert timed.most_in_a_second(server, "other.example") == 2
    assert len(set(server.recipients())) == len(server.letters) == len(CROWD) + len(ELSEWHERE)
    assert str(state(store)) == "sent"


def test_a_letter_that_waits_for_its_slot_is_stopped_by_cancelling(sqlite_store: Store, clock: Clock) -> None:
    gather(sqlite_store, *CROWD)
    mailing = held(sqlite_store, minutes=0, clock=clock)
    with mail_server() as server:
        worker = worker_to(server, sqlite_store, domain_rate="1")
        worker.work_once()
        with sqlite_store.writing() as session:
            services.cancel(session, mailing.slug, now=clock.now())
        clock.advance(minutes=5)
        worker.work_once()
    assert len(server.letters) == 1
    assert counts(sqlite_store) == {"accepted": 1, "skipped": len(CROWD) - 1}


@settings(deadline=None)
@given(
    rate=st.one_of(st.integers(1, 50), st.floats(0.1, 50)),
    steps=st.lists(st.tuples(st.floats(-2, 3), st.integers(1, 60)), max_size=30),
)
def test_no_second_ever_has_more_letters_than_the_rate(rate: float, steps: list[tuple[float, int]]) -> None:
    limit, now = RateLimit(rate), OPPS_DAY
    left: list[datetime] = []
    for seconds, wanted in steps:
        if seconds < 0:
            # The clock is put back: earlier moments can't be compared any more.
            left.clear()
            limit.available(now + timedelta(seconds=seconds))
        now += timedelta(seconds=seconds)
        for _ in range(min(wanted, limit.available(now))):
            limit.count(now)
            left.append(now)
        assert sum(now - SECOND < one <= now for one in left) <= max(1, rate)


@pytest.mark.parametrize("count", [20, 3000])
def test_only_so_many_letters_are_given_a_later_slot(count: int) -> None:
    send_rates, slots = SendRates(0, 10), 0
    for _ in range(count):
        if send_rates.untried_limit(OPPS_DAY, 1):
            send_rates.later_slot("somebody@x.example", OPPS_DAY, was_deferred=False)
            slots += 1
    assert slots == count if count < 1000 else 1000 <= slots <= 1020
