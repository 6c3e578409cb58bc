"""Consent: the one rule of who may be written to, and the record that proves it."""

from datetime import date, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from sqlalchemy import delete, event, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from feedback_app.customers import consent
from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import (
    FrequencyChange,
    audience,
    choose,
    frequencies,
    history,
    may_write_to,
    wording_hash,
)
from feedback_app.customers.models import (
    ConsentAction,
    ConsentChannel,
    ConsentEvent,
    Customer,
    Frequency,
    NameDisplay,
    Preference,
    Suppression,
    SuppressionReason,
    Wording,
)
from feedback_app.customers.services import find_or_add_customer
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY
from tests.support.people import ALICE, BOB, CAROL, Person, welcome

TODAY = OPPS_DAY.date()
YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)
FORM = ConsentChannel.FORM


def decide(
    session: Session,
    number: int,
    topic: Topic,
    frequency: Frequency,
    *,
    channel: ConsentChannel = FORM,
    now: datetime = OPPS_DAY,
) -> FrequencyChange | None:
    """Save a choice of a customer's."""
    customer = session.get_one(Customer, number)
    return choose(session, customer, topic, frequency, channel=channel, wording=topic.info.wording, now=now)


def suppress(session: Session, number: int, reason: SuppressionReason = SuppressionReason.BOUNCED) -> None:
    """Suppress a customer's address."""
    session.add(
        Suppression(fingerprint=session.get_one(Customer, number).fingerprint, reason=reason, at=OPPS_DAY),
    )
    session.flush()


@pytest.mark.parametrize(
    ("frequency", "pause", "suppressed", "confirmed", "expected"),
    [
        pytest.param(None, None, False, True, False, id="no choice"),
        pytest.param(Frequency.NEVER, None, False, True, False, id="never"),
        pytest.param(Frequency.EACH, None, False, True, True, id="each time"),
        pytest.param(Frequency.WEEKLY, None, False, True, True, id="weekly"),
        pytest.param(Frequency.MONTHLY, None, False, True, True, id="monthly"),
        pytest.param(Frequency.EACH, TOMORROW, False, True, False, id="paused until tomorrow"),
        pytest.param(Frequency.EACH, TODAY, False, True, True, id="paused until today"),
        pytest.param(Frequency.EACH, YESTERDAY, False, True, True, id="paused until yesterday"),
        pytest.param(Frequency.EACH, date(9999, 12, 31), False, True, False, id="paused for ever"),
        pytest.param(Frequency.EACH, None, True, True, False, id="suppressed"),
        pytest.param(Frequency.EACH, YESTERDAY, True, True, False, id="suppressed after a pause"),
        pytest.param(Frequency.EACH, None, False, False, False, id="never confirmed"),
    ],
)
def test_the_rule(
    store: Store, frequency: Frequency | None, pause: date | None, *, suppressed: bool, confirmed: bool, expected: bool
) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY)
    with store.writing() as session:
        customer = session.get_one(Customer, alice)
        if frequency:
            decide(session, alice, Topic.SPECIALS, frequency)
        customer.pause_until = pause
        customer.confirmed_at = OPPS_DAY if confirmed else None
        if suppressed:
            suppress(session, alice)
    with store.reading() as session:
        customer = session.get_one(Customer, alice)
        assert may_write_to(session, customer, Topic.SPECIALS, now=OPPS_DAY) is expected
        assert not may_write_to(session, customer, Topic.NEWS, now=OPPS_DAY)
        assert [one.id for one in audience(session, Topic.SPECIALS, now=OPPS_DAY)] == ([alice] if expected else [])


def test_a_pause_ends_on_the_morning_of_its_day(store: Store) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, news=Frequency.EACH)
    with store.writing() as session:
        session.get_one(Customer, alice).pause_until = TOMORROW
    midnight = OPPS_DAY.replace(hour=0, minute=0) + timedelta(days=1)
    with store.reading() as session:
        customer = session.get_one(Customer, alice)
        assert not may_write_to(session, customer, Topic.NEWS, now=midnight - timedelta(microseconds=1))
        assert may_write_to(session, customer, Topic.NEWS, now=midnight)


def test_a_customer_who_only_asked_for_a_link_gets_no_letters(store: Store) -> None:
    with store.writing() as session:
        customer = find_or_add_customer(session, Address.parse(ALICE.address), now=OPPS_DAY)
        for topic in Topic:
            assert not may_write_to(session, customer, topic, now=OPPS_DAY)


def test_an_audience_has_the_chosen_names_and_is_read_in_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "BATCH", 2)
    welcome(store, ALICE, now=OPPS_DAY, named=NameDisplay.FIRST, specials=Frequency.EACH)
    welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    welcome(store, CAROL, now=OPPS_DAY, named=NameDisplay.FULL, specials=Frequency.EACH)
    welcome(store, Person("Dora", "dora@example.com"), now=OPPS_DAY, news=Frequency.EACH)
    asked: list[str] = []
    event.listen(store.engine, "before_cursor_execute", lambda *said: asked.append(said[2]))

    def questions() -> int:
        return sum(statement.startswith("SELECT") for statement in asked)

    with store.reading() as session:
        people = audience(session, Topic.SPECIALS, now=OPPS_DAY)
        assert next(people).address == ALICE.address
        # Carol is in the next batch, which has not been asked for yet.
        assert questions() == 2
        assert [(one.address, one.name) for one in people] == [(BOB.address, None), (CAROL.address, CAROL.name)]
        # Two for each batch, and one that finds no further rows.
        assert questions() == 5
        assert [one.name for one in audience(session, Topic.SPECIALS, now=OPPS_DAY)] == ["Alice", None, "Carol Clark"]


people = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(Topic), st.sampled_from(Frequency)),
        st.one_of(st.none(), st.dates(TODAY - timedelta(days=2), TODAY + timedelta(days=2))),
        st.booleans(),
        st.booleans(),
    ),
    max_size=7,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people, st.integers(1, 4))
def test_an_audience_is_exactly_those_who_pass_the_rule(
    store: Store, everybody: list[tuple[dict[Topic, Frequency], date | None, bool, bool]], batch: int
) -> None:
    with store.writing() as session, pytest.MonkeyPatch.context() as patch:
        patch.setattr(consent, "BATCH", batch)
        expected: dict[Topic, list[int]] = {topic: [] for topic in Topic}
        for number, (choices, pause, suppressed, confirmed) in enumerate(everybody):
            address = Address.parse(f"customer{number}@example.com")
            customer = find_or_add_customer(session, address, now=OPPS_DAY)
            customer.pause_until = pause
            customer.confirmed_at = OPPS_DAY if confirmed else None
            for topic, frequency in choices.items():
                decide(session, customer.id, topic, frequency)
            if suppressed:
                suppress(session, customer.id)
            for topic, frequency in choices.items():
                awake = pause is None or pause <= TODAY
                if frequency is not Frequency.NEVER and awake and confirmed and not suppressed:
                    expected[topic].append(customer.id)
        session.flush()
        for topic in Topic:
            assert [one.id for one in audience(session, topic, now=OPPS_DAY)] == expected[topic]
            rule_says = [
                customer.id
                for customer in session.scalars(select(Customer).order_by(Customer.id))
                if may_write_to(session, customer, topic, now=OPPS_DAY)
            ]
            assert rule_says == expected[topic]
        session.rollback()


def test_a_choice_is_saved_and_recorded(store: Store) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY)
    later = OPPS_DAY + timedelta(days=1)
    with store.writing() as session:
        assert decide(session, alice, Topic.NEWS, Frequency.WEEKLY) == FrequencyChange(
            Topic.NEWS, None, Frequency.WEEKLY
        )
    with store.writing() as session:
        change = decide(session, alice, Topic.NEWS, Frequency.NEVER, channel=ConsentChannel.ONE_CLICK, now=later)
        assert change == FrequencyChange(Topic.NEWS, Frequency.WEEKLY, Frequency.NEVER)
    with store.reading() as session:
        customer = session.get_one(Customer, alice)
        assert frequencies(session, customer) == {Topic.NEWS: Frequency.NEVER}
        given_, withdrawn = history(session, customer)
        assert (given_.action, given_.frequency, given_.channel, given_.at) == (
            ConsentAction.GIVEN,
            Frequency.WEEKLY,
            ConsentChannel.FORM,
            OPPS_DAY,
        )
        assert (withdrawn.action, withdrawn.frequency, withdrawn.channel, withdrawn.at) == (
            ConsentAction.WITHDRAWN,
            Frequency.NEVER,
            ConsentChannel.ONE_CLICK,
            later,
        )
        for event in (given_, withdrawn):
            assert session.get_one(Wording, event.wording_hash).text == Topic.NEWS.info.wording


def test_the_same_choice_again_changes_nothing(store: Store) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, news=Frequency.EACH)
    with store.writing() as session:
        assert decide(session, alice, Topic.NEWS, Frequency.EACH, now=OPPS_DAY + timedelta(days=1)) is None
    with store.reading() as session:
        assert len(history(session, session.get_one(Customer, alice))) == 1
        assert session.get_one(Preference, (alice, Topic.NEWS)).changed_at == OPPS_DAY


@pytest.mark.parametrize("before", [None, Frequency.NEVER, Frequency.EACH])
def test_a_yes_lifts_a_suppression_and_a_no_does_not(store: Store, before: Frequency | None) -> None:
    alice, bob = welcome(store, ALICE, now=OPPS_DAY), welcome(store, BOB, now=OPPS_DAY)
    with store.writing() as session:
        if before:
            decide(session, alice, Topic.SPECIALS, before)
        suppress(session, alice)
        suppress(session, bob)
        decide(session, alice, Topic.SPECIALS, Frequency.NEVER)
        assert len(session.scalars(select(Suppression)).all()) == 2
    with store.writing() as session:
        decide(session, alice, Topic.SPECIALS, Frequency.EACH)
        [left] = session.scalars(select(Suppression))
        assert left.fingerprint == session.get_one(Customer, bob).fingerprint


def test_a_repeated_yes_lifts_a_suppression_too(store: Store) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    with store.writing() as session:
        suppress(session, alice)
        assert decide(session, alice, Topic.SPECIALS, Frequency.EACH) is None
        assert may_write_to(session, session.get_one(Customer, alice), Topic.SPECIALS, now=OPPS_DAY)


def test_a_wording_is_kept_once(store: Store) -> None:
    with store.writing() as session:
        assert wording_hash(session, "You may.") == wording_hash(session, "You may.")
        assert wording_hash(session, "You might.") != wording_hash(session, "You may.")
    with store.reading() as session:
        assert len(session.scalars(select(Wording)).all()) == 2


@pytest.mark.parametrize("table", [ConsentEvent, Wording])
def test_the_record_can_be_neither_changed_nor_deleted(store: Store, table: type[ConsentEvent | Wording]) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    change = {"evidence": "none"} if table is ConsentEvent else {"text": "Something else."}
    statements = [update(table).values(change), delete(table)]
    if store.dialect == "postgresql":
        statements.append(text(f"TRUNCATE {table.__tablename__} CASCADE"))  # type: ignore[arg-type]
    for statement in statements:
        with pytest.raises(DBAPIError, match="is only ever added to"), store.writing() as session:
            session.execute(statement)
    with store.reading() as session:
        [event] = session.scalars(select(ConsentEvent))
        assert (event.evidence, event.frequency) == (None, Frequency.EACH)
        assert session.get_one(Wording, event.wording_hash).text == Topic.SPECIALS.info.wording


class ChangingOnesMind(RuleBasedStateMachine):
    """Alice and Bob choose in any order; their choices and the record always agree."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        # New customers each time, because the record of the earlier ones stays.
        self.people = [
            welcome(store, Person(person.name, f"{uuid4().hex}-{person.address}"), now=OPPS_DAY)
            for person in (ALICE, BOB)
        ]
        self.model: dict[tuple[int, Topic], Frequency] = {}
        self.channel: dict[tuple[int, Topic], ConsentChannel] = {}
        self.suppressed: set[int] = set()
        self.events = 0

    @rule(
        who=st.integers(0, 1),
        topic=st.sampled_from(Topic),
        frequency=st.sampled_from(Frequency),
        channel=st.sampled_from(ConsentChannel),
    )
    def choose(self, who: int, topic: Topic, frequency: Frequency, channel: ConsentChannel) -> None:
        number = self.people[who]
        before = self.model.get((number, topic))
        with self.store.writing() as session:
            change = decide(session, number, topic, frequency, channel=channel)
        assert change == (None if before is frequency else FrequencyChange(topic, before, frequency))
        yes, own = frequency is not Frequency.NEVER, channel is ConsentChannel.FORM
        # A yes is confirmed when its customer repeats it for the first time, or when it lifts a suppression.
        confirms = yes and own and (number in self.suppressed or self.channel.get((number, topic)) is not channel)
        self.events += before is not frequency or confirms
        if before is not frequency or confirms:
            self.channel[number, topic] = channel
        self.model[number, topic] = frequency
        if frequency is not Frequency.NEVER:
            self.suppressed.discard(number)

    @rule(who=st.integers(0, 1))
    def bounce(self, who: int) -> None:
        number = self.people[who]
        if number not in self.suppressed:
            with self.store.writing() as session:
                suppress(session, number)
            self.suppressed.add(number)

    @invariant()
    def what_is_in_force_is_the_last_line_of_the_record(self) -> None:
        with self.store.reading() as session:
            lines = 0
            for number in self.people:
                customer = session.get_one(Customer, number)
                record = history(session, customer)
                lines += len(record)
                last = {event.topic: event for event in record}
                chosen = frequencies(session, customer)
                assert chosen == {topic: self.model[who, topic] for who, topic in self.model if who == number}
                assert chosen == {topic: event.frequency for topic, event in last.items()}
                for topic in Topic:
                    yes = topic in last and last[topic].action is not ConsentAction.WITHDRAWN
                    expected = yes and number not in self.suppressed
                    assert may_write_to(session, customer, topic, now=OPPS_DAY) is expected
            assert lines == self.events


def test_choices_and_record_agree_after_any_sequence_of_changes(store: Store) -> None:
    class OnThisStore(ChangingOnesMind):
        def __init__(self) -> None:
            super().__init__(store)

    run_state_machine_as_test(OnThisStore, settings=settings(max_examples=6, stateful_step_count=10, deadline=None))


def test_an_imported_yes_is_confirmed_once_by_its_customer(store: Store) -> None:
    number = welcome(store, ALICE, now=OPPS_DAY)

    def say(channel: ConsentChannel) -> None:
        with store.writing() as session:
            alice = session.get_one(Customer, number)
            how = {"channel": channel, "wording": "Yes", "now": OPPS_DAY}
            choose(session, alice, Topic.NEWS, Frequency.EACH, **how)  # type: ignore[arg-type]

    for channel in (ConsentChannel.IMPORT, ConsentChannel.FORM, ConsentChannel.FORM):
        say(channel)
    with store.reading() as session:
        lines = [(event.action, event.channel) for event in history(session, session.get_one(Customer, number))]
    assert lines == [
        (ConsentAction.GIVEN, ConsentChannel.IMPORT),
        (ConsentAction.CONFIRMED, ConsentChannel.FORM),
    ]
