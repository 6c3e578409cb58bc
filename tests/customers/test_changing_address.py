"""Another address: asked for on one's page, confirmed from both, and everything that was chosen moves over."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from feedback_app.customers.address_changes import MOST_A_DAY, AddressSide, accept_change, request_change
from feedback_app.customers.addresses import Address
from feedback_app.customers.models import (
    AddressChange,
    Customer,
    Frequency,
    NameDisplay,
    Suppression,
    SuppressionReason,
)
from feedback_app.customers.services import address_of, find_customer, name_of, request_link, suppression_of
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.letter_queue import LetterKind, LetterRequest
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.privacy.export import export_customer
from feedback_app.privacy.retention import purge
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import SQLITE
from tests.support.mailings import read, text_of, worker_to
from tests.support.people import ALICE, BOB, welcome
from tests.support.preference_pages import (
    NOTHING_CHOSEN,
    ONE_CLICK,
    centre,
    choices_of,
    record_of,
    rows,
    send,
    told,
    way_out,
)
from tests.support.smtp import MailServer

ROBERT = "robert@example.net"
LINK = re.compile(r"http://127\.0\.0\.1:8000(/feedback/address/\w+/[\w=-]+)")


@pytest.fixture
def backend() -> str:
    """One database: what is tested here does not depend on which."""
    return SQLITE


@pytest.fixture
def bob(store: Store) -> int:
    """Somebody with a name, choices and a history."""
    return welcome(store, BOB, now=OPPS_DAY, named=NameDisplay.FULL, specials=Frequency.EACH, news=Frequency.WEEKLY)


def asks(client: FlaskClient, desk: LetterContext, person: int, address: str = ROBERT) -> str:
    """Somebody types another address on their page; returns what it says."""
    answer = send(client, f"{centre(desk, person)}/address", {"email": address})
    assert answer.status_code == 200
    return told(answer)


def letters(store: Store, sink: MailServer) -> dict[str, bytes]:
    """The mailer works; the newest letter to each address."""
    worker_to(sink, store, site_url="http://127.0.0.1:8000").work_once()
    return {letter.recipients[0]: letter.data for letter in sink.letters}


def link_in(letter: bytes) -> str:
    """The path of the link that the letter is about."""
    found = LINK.search(text_of(letter))
    assert found, "there is no link in the letter"
    return found.group(1)


def test_bob_moves_with_all_that_he_chose_once_both_addresses_have_said_yes(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int, *, clock: Clock
) -> None:
    said = asks(client, desk, bob)
    assert "b…@e…" in said
    assert "r…@e…" in said
    both = letters(store, sink)
    assert set(both) == {BOB.address, ROBERT}
    for letter, other in ((both[BOB.address], ROBERT), (both[ROBERT], BOB.address)):
        assert other.encode() not in letter
        assert BOB.name not in str(read(letter))
    chosen, record = choices_of(store, bob), [line.id for line in record_of(store, bob)]
    assert "use the link in the letter to r…@e…" in told(send(client, link_in(both[BOB.address]), {"answer": "yes"}))
    with store.reading() as session:
        assert address_of(session, session.get_one(Customer, bob)).written == BOB.address
    clock.advance(hours=3)
    assert "We write to r…@e… now" in told(send(client, link_in(both[ROBERT]), {"answer": "yes"}))
    with store.reading() as session:
        customer = session.get_one(Customer, bob)
        assert address_of(session, customer).written == ROBERT
        assert name_of(session, customer) == BOB.name
        assert find_customer(session, Address.parse(BOB.address)) is None
    assert choices_of(store, bob) == chosen
    assert [line.id for line in record_of(store, bob)] == record
    last = letters(store, sink)[BOB.address]
    assert "the last letter" in text_of(last)
    assert ROBERT.encode() not in last
    assert "/feedback/preferences/" not in text_of(last)


@pytest.mark.parametrize("first", AddressSide)
def test_one_yes_is_not_enough_whichever_it_is_and_said_twice_it_is_still_one(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int, *, first: AddressSide
) -> None:
    asks(client, desk, bob)
    both = letters(store, sink)
    link = link_in(both[BOB.address if first is AddressSide.OLD else ROBERT])
    for _ in range(2):
        assert "One more letter" in send(client, link, {"answer": "yes"}).text
    assert "already said yes here" in told(client.get(link))
    with store.reading() as session:
        assert address_of(session, session.get_one(Customer, bob)).written == BOB.address


def test_links_to_his_page_in_the_old_letter_box_work_no_more_but_those_that_end_letters_do(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int
) -> None:
    page, out = centre(desk, bob), way_out(desk, bob)
    asks(client, desk, bob)
    for letter in letters(store, sink).values():
        send(client, link_in(letter), {"answer": "yes"})
    for more in ("", "/history", "/letters", "/data.json", "/erase", "/address"):
        assert client.get(page + more).status_code == 404
    assert client.post(page, data=NOTHING_CHOSEN).status_code == 404
    with store.writing() as session:
        request_link(session, Address.parse(ROBERT), now=OPPS_DAY, quiet=False)
    fresh = re.search(r"/feedback/preferences/\S+", text_of(letters(store, sink)[ROBERT]))
    assert fresh
    assert "r…@e…" in told(client.get(fresh.group()))
    assert client.post(out, data=ONE_CLICK).status_code == 200
    assert choices_of(store, bob)[Topic.SPECIALS] is Frequency.NEVER


def test_a_link_that_is_used_again_after_all_is_done_changes_nothing(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int
) -> None:
    asks(client, desk, bob)
    links = [link_in(letter) for letter in letters(store, sink).values()]
    token = None
    for link in links:
        page = client.get(link)
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
        assert token
        send(client, link, {"answer": "yes"})
    before = rows(store)
    for link in links:
        assert "Your address is changed" in client.get(link).text
        assert token
        for answer in ("yes", "no"):
            said = client.post(link, data={"answer": answer, "csrf_token": token.group(1)})
            assert "We write to r…@e… now" in told(said)
    assert rows(store) == before


@pytest.mark.parametrize("side", AddressSide)
def test_a_no_from_either_address_ends_it(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int, *, side: AddressSide
) -> None:
    asks(client, desk, bob)
    both = letters(store, sink)
    old, new = link_in(both[BOB.address]), link_in(both[ROBERT])
    no, other = (old, new) if side is AddressSide.OLD else (new, old)
    assert "Everything stays as it is" in send(client, no, {"answer": "no"}).text
    assert client.get(other).status_code == client.get(no).status_code == 404


def test_links_of_a_change_are_over_after_their_week(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int, *, clock: Clock
) -> None:
    asks(client, desk, bob)
    link = link_in(letters(store, sink)[ROBERT])
    clock.advance(days=8)
    assert client.get(link).status_code == client.post(link).status_code == 404
    with store.writing() as session:
        purge(session, now=clock.now())
    with store.reading() as session:
        assert session.scalars(select(AddressChange)).all() == []


def test_the_later_of_two_tabs_counts_and_the_links_of_the_earlier_are_over(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int
) -> None:
    asks(client, desk, bob, "bobby@example.com")
    early = letters(store, sink)
    asks(client, desk, bob)
    late = letters(store, sink)
    for link in (link_in(early["bobby@example.com"]), link_in(early[BOB.address])):
        assert client.get(link).status_code == 404
    for address in (BOB.address, ROBERT):
        send(client, link_in(late[address]), {"answer": "yes"})
    with store.reading() as session:
        assert address_of(session, session.get_one(Customer, bob)).written == ROBERT


def test_the_same_address_from_two_tabs_is_one_change_and_one_pair_of_letters(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int
) -> None:
    for written in (ROBERT, ROBERT.upper(), ROBERT):
        assert "Two letters are on their way" in asks(client, desk, bob, written)
    letters(store, sink)
    assert len(sink.letters) == 2


def test_nobody_elses_letter_box_can_be_flooded_with_changes(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int, *, clock: Clock
) -> None:
    for number in range(MOST_A_DAY * 3):
        said = asks(client, desk, bob, f"robert{number}@example.net")
        assert ("Two letters" in said) == (number < MOST_A_DAY)
        letters(store, sink)
        clock.advance(minutes=10)
    assert len(sink.letters) == 2 * MOST_A_DAY


@pytest.mark.parametrize("known", ["a customer", "barred", "nobody"])
def test_the_page_says_the_same_whoever_the_new_address_belongs_to(
    client: FlaskClient, store: Store, desk: LetterContext, bob: int, known: str
) -> None:
    if known != "nobody":
        alice = welcome(store, ALICE, now=OPPS_DAY)
        if known == "barred":
            bar(store, alice, SuppressionReason.COMPLAINED)
    assert "Two letters are on their way: one to b…@e…, one to a…@e…" in asks(client, desk, bob, ALICE.address)
    with store.reading() as session:
        kinds = [one.kind for one in session.scalars(select(LetterRequest))]
        assert kinds == [LetterKind.CHANGE_OLD, LetterKind.CHANGE_NEW]


def bar(store: Store, person: int, reason: SuppressionReason) -> None:
    """Somebody must not be written to."""
    with store.writing() as session:
        fingerprint = session.get_one(Customer, person).fingerprint
        session.add(Suppression(fingerprint=fingerprint, reason=reason, at=OPPS_DAY))


def test_an_address_that_must_not_be_written_to_gets_no_letter_and_takes_nobody_over(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int
) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY)
    bar(store, alice, SuppressionReason.OWNER)
    asks(client, desk, bob, ALICE.address)
    assert set(letters(store, sink)) == {BOB.address}
    answer = send(client, link_in(sink.letters[0].data), {"answer": "yes"})
    assert answer.status_code == 409
    assert "we keep to that" in told(answer)
    with store.reading() as session:
        assert address_of(session, session.get_one(Customer, bob)).written == BOB.address
        assert suppression_of(session, Address.parse(ALICE.address))


def test_an_address_with_choices_of_its_own_keeps_them(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int
) -> None:
    alice = welcome(store, ALICE, now=OPPS_DAY, news=Frequency.MONTHLY)
    asks(client, desk, bob, ALICE.address)
    for letter in letters(store, sink).values():
        answer = send(client, link_in(letter), {"answer": "yes"})
        assert answer.status_code == 409
        assert "already has its own choices" in told(answer)
    assert choices_of(store, alice) == {Topic.NEWS: Frequency.MONTHLY}
    with store.reading() as session:
        assert address_of(session, session.get_one(Customer, bob)).written == BOB.address


def test_an_address_that_somebody_had_only_typed_is_no_hindrance(store: Store, bob: int, clock: Clock) -> None:
    with store.writing() as session:
        request_link(session, Address.parse(ROBERT), now=OPPS_DAY, quiet=True)
    with store.writing() as session:
        request_change(session, session.get_one(Customer, bob), Address.parse(ROBERT), now=clock.now())
        [change] = session.scalars(select(AddressChange))
        for side in AddressSide:
            accept_change(session, change, side, now=clock.now())
    with store.reading() as session:
        found = find_customer(session, Address.parse(ROBERT))
        assert found
        assert found.id == bob


@pytest.mark.parametrize(
    ("reason", "moves"), [(SuppressionReason.BOUNCED, False), (SuppressionReason.COMPLAINED, True)]
)
def test_what_was_said_about_the_person_moves_along_and_what_was_about_the_letter_box_does_not(
    store: Store, bob: int, clock: Clock, reason: SuppressionReason, *, moves: bool
) -> None:
    bar(store, bob, reason)
    with store.writing() as session:
        request_change(session, session.get_one(Customer, bob), Address.parse(ROBERT), now=clock.now())
        [change] = session.scalars(select(AddressChange))
        for side in AddressSide:
            accept_change(session, change, side, now=clock.now())
    with store.reading() as session:
        assert (suppression_of(session, Address.parse(ROBERT)) is not None) == moves
        assert suppression_of(session, Address.parse(BOB.address)) is not None


def test_a_save_can_still_be_undone_after_the_move(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int
) -> None:
    send(client, centre(desk, bob), NOTHING_CHOSEN | {"name": "Robert"})
    asks(client, desk, bob)
    for letter in letters(store, sink).values():
        send(client, link_in(letter), {"answer": "yes"})
    fresh = desk.preferences_link(bob, OPPS_DAY, 1).removeprefix(desk.settings.site_url)
    page = client.get(fresh)
    token = re.search(r'action="[^"]*/undo">\s*<input[^>]*value="([^"]+)"', page.text)
    assert token
    assert "as it was before" in told(client.post(f"{fresh}/undo", data={"csrf_token": token.group(1)}))
    with store.reading() as session:
        assert name_of(session, session.get_one(Customer, bob)) == BOB.name


def test_what_is_no_other_address_is_refused_and_kept_as_it_was_typed(
    client: FlaskClient, store: Store, desk: LetterContext, bob: int
) -> None:
    before = rows(store)
    for typed in ("", "robert", "robert@", BOB.address, BOB.address.upper()):
        answer = send(client, f"{centre(desk, bob)}/address", {"email": typed})
        assert answer.status_code == 400
        assert f'value="{typed}"' in answer.text
    assert client.post(f"{centre(desk, bob)}/address", data={"email": ROBERT}).status_code == 400
    assert rows(store) == before


def test_a_change_that_waits_is_in_what_is_held_about_him(store: Store, bob: int, clock: Clock) -> None:
    with store.writing() as session:
        request_change(session, session.get_one(Customer, bob), Address.parse(ROBERT), now=clock.now())
    with store.reading() as session:
        [held] = export_customer(session, session.get_one(Customer, bob))["address_changes"]["data"]
        assert (held["from"], held["to"], held["done_at"]) == (BOB.address, ROBERT, None)
    assert clock.now() - OPPS_DAY < timedelta(days=1)
