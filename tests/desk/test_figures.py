"""The figures: how many customers joined and left, and why, by month."""

from datetime import UTC, datetime, timedelta

from feedback_app.customers.consent import choose
from feedback_app.customers.models import ConsentChannel, Customer, Frequency, Suppression, SuppressionReason
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.desk.figures import MONTHS, figures
from tests.support.clock import OPPS_DAY
from tests.support.people import ALICE, BOB, CAROL, welcome

AUGUST, SEPTEMBER = datetime(2007, 8, 5, tzinfo=UTC), datetime(2007, 9, 30, 23, 59, tzinfo=UTC)


def says(store: Store, person: int, frequency: Frequency, channel: ConsentChannel, *, at: datetime) -> None:
    """Let a customer choose how often they get offers."""
    with store.writing() as session:
        customer, wording = session.get_one(Customer, person), Topic.SPECIALS.info.wording
        choose(session, customer, Topic.SPECIALS, frequency, channel=channel, wording=wording, now=at)


def test_a_changed_frequency_is_neither_joining_nor_leaving(store: Store) -> None:
    alice = welcome(store, ALICE, now=AUGUST, specials=Frequency.EACH)
    says(store, alice, Frequency.WEEKLY, ConsentChannel.FORM, at=SEPTEMBER)
    bob = welcome(store, BOB, now=AUGUST, specials=Frequency.EACH)
    says(store, bob, Frequency.NEVER, ConsentChannel.ONE_CLICK, at=SEPTEMBER)
    says(store, bob, Frequency.MONTHLY, ConsentChannel.FORM, at=OPPS_DAY)
    carol = welcome(store, CAROL, now=AUGUST - timedelta(days=800), specials=Frequency.EACH)
    says(store, carol, Frequency.NEVER, ConsentChannel.UNSUBSCRIBE_PAGE, at=OPPS_DAY)
    with store.reading() as session:
        numbers = figures(session, now=OPPS_DAY)
    assert numbers.known == 3
    assert numbers.reached[Topic.SPECIALS] == {Frequency.EACH: 0, Frequency.WEEKLY: 1, Frequency.MONTHLY: 1}
    months = {f"{month.start:%Y-%m}": (month.joined, month.left) for month in numbers.months[Topic.SPECIALS]}
    assert len(months) == MONTHS
    assert next(iter(months)) == "2006-11"
    assert {name: both for name, both in months.items() if both != (0, 0)} == {
        "2007-08": (2, 0),
        "2007-09": (0, 1),
        "2007-10": (1, 1),
    }
    assert numbers.left_through == {ConsentChannel.UNSUBSCRIBE_PAGE: 1, ConsentChannel.ONE_CLICK: 1}
    assert numbers.months[Topic.NEWS][-1].joined == 0


def test_suppressed_customers_are_counted_by_reason_and_not_reached(store: Store) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, news=Frequency.EACH)
    with store.writing() as session:
        fingerprint = session.get_one(Customer, alice).fingerprint
        session.add(Suppression(fingerprint=fingerprint, reason=SuppressionReason.BOUNCED, at=OPPS_DAY))
    with store.reading() as session:
        numbers = figures(session, now=OPPS_DAY)
    assert numbers.barred == {SuppressionReason.BOUNCED: 1}
    assert sum(numbers.reached[Topic.NEWS].values()) == 0
