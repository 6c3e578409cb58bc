"""The daily cap: a customer gets no more letters a day, even from two mailings at the same moment."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select, update

from feedback_app.db.store import Store
from feedback_app.mailing.mailings import services
from feedback_app.mailing.models import Delivery, DeliveryState, Mailing
from feedback_app.mailing.words import DAILY_CAP_REACHED
from tests.support.clock import Clock
from tests.support.mailings import CROWD, about, claim, counts, gather, held, reasons, worker_to
from tests.support.people import Person
from tests.support.smtp import MailServer

MAILINGS = ("one", "two")
AT_ONCE = 3


def released(store: Store, clock: Clock) -> list[int]:
    """Return the ids of two mailings to the same customers; their holds are over and they have no canary."""
    numbers = [held(store, about(slug), minutes=0, clock=clock).id for slug in MAILINGS]
    with store.writing() as session:
        services.release_due(session, now=clock.now())
        session.execute(update(Mailing).values(canary=0))
    return numbers


def test_two_mailings_at_the_same_moment_give_a_customer_one_letter(store: Store, clock: Clock) -> None:
    crowd = [Person("Customer", f"customer{number}@example.com") for number in range(8 * AT_ONCE)]
    numbers = gather(store, *crowd)
    together = threading.Barrier(len(MAILINGS))

    def claim_all(mailing: int) -> int:
        claimed = 0
        for _ in range(len(crowd) // AT_ONCE):
            # Both claim the same customers.
            together.wait()
            batch = store.write(
                lambda session: claim(
                    session, mailing, worker_id=f"worker-{mailing}", limit=AT_ONCE, daily_cap=1, clock=clock
                )
            )
            assert len(batch.claimed) + batch.skipped == AT_ONCE
            claimed += len(batch.claimed)
        return claimed

    with ThreadPoolExecutor(len(MAILINGS)) as pool:
        claimed = list(pool.map(claim_all, released(store, clock)))
    with store.reading() as session:
        got = Counter(
            session.scalars(select(Delivery.customer_id).where(Delivery.state == DeliveryState.SUBMITTING)).all()
        )
    # No customer has two letters, and none has gone without because each mailing left it to the other.
    assert got == dict.fromkeys(numbers, 1)
    assert sum(claimed) == len(crowd)
    left_out = [reason for slug in MAILINGS for reason in reasons(store, slug) if reason]
    assert left_out == [DAILY_CAP_REACHED] * len(crowd)


def test_two_workers_of_two_mailings_keep_the_daily_cap(store: Store, clock: Clock, sink: MailServer) -> None:
    gather(store, *CROWD)
    released(store, clock)
    start = threading.Barrier(2)

    def work(number: int) -> int:
        worker = worker_to(sink, store, number, daily_cap="1", max_in_flight="2")
        start.wait()
        return worker.work_once().accepted

    with ThreadPoolExecutor(2) as pool:
        accepted = list(pool.map(work, (1, 2)))
    assert sum(accepted) == len(CROWD)
    assert sorted(sink.recipients()) == sorted(person.address for person in CROWD)
    found = Counter(counts(store, "one")) + Counter(counts(store, "two"))
    assert found == {"accepted": len(CROWD), "skipped": len(CROWD)}
