"""Changing the address: asked for on the customer's page, confirmed from both addresses; all choices move over."""

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
    unsubscribe_path,
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
    """Bob, with a name, choices and a history."""
    return welcome(store, BOB, now=OPPS_DAY, named=NameDisplay.FULL, specials=Frequency.EACH, news=Frequency.WEEKLY)


def asks(client: FlaskClient, desk: LetterContext, person: int, address: str = ROBERT) -> str:
    """Type another address on the customer's page; return what the page says."""
    answer = send(client, f"{centre(desk, person)}/address", {"email": address})
    assert answer.status_code == 200
    return told(answer)


def letters(store: Store, sink: MailServer) -> dict[str, bytes]:
    """Let the mailer work; return the newest letter to each address."""
    worker_to(sink, store, site_url="http://127.0.0.1:8000").work_once()
    return {letter.recipients[0]: letter.data for letter in sink.letters}


def link_in(letter: bytes) -> str:
    """Return the path of the link in a letter."""
    found = LINK.search(text_of(letter))
    assert found, "there is no link in the letter"
    return found.group(1)


def test_choices_move_once_both_addresses_have_said_yes(
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
    assert "We now write to r…@e…" in told(send(client, link_in(both[ROBERT]), {"answer": "yes"}))
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
def test_one_yes_is_not_enough_even_when_said_twice(
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


def test_in_the_old_inbox_only_unsubscribe_links_still_work(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int
) -> None:
    page, out = centre(desk, bob), unsubscribe_path(desk, bob)
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


def test_a_link_used_again_after_the_change_changes_nothing(
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
            assert "We now write to r…@e…" in told(said)
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


def test_links_of_a_change_expire_after_a_week(
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


def test_a_newer_change_makes_the_older_ones_links_void(
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


def test_the_same_address_from_two_tabs_is_one_change(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int
) -> None:
    for written in (ROBERT, ROBERT.upper(), ROBERT):
        assert "Two letters are on their way" in asks(client, desk, bob, written)
    letters(store, sink)
    assert len(sink.letters) == 2


def test_no_inbox_can_be_flooded_with_changes(
    client: FlaskClient, store: Store, desk: LetterContext, sink: MailServer, bob: int, *, clock: Clock
) -> None:
    for number in range(MOST_A_DAY * 3):
        said = asks(client, desk, bob, f"robert{number}@example.net")
        assert ("Two letters" in said) == (number < MOST_A_DAY)
        letters(store, sink)
        clock.advance(minutes=10)
    assert len(sink.letters) == 2 * MOST_A_DAY


@pytest.mark.parametrize("known", ["a customer", "barred", "nobody"])
def test_the_page_does_not_tell_whom_the_new_address_belongs_to(
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
    """Suppress an address."""
    with store.writing() as session:
        fingerprint = session.get_one(Customer, person).fingerprint
        session.add(Suppression(fingerprint=fingerprint, reason=reason, at=OPPS_DAY))


def test_a_suppressed_address_gets_no_letter_and_no_choices(
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


def test_a_new_address_with_its_own_choices_keeps_them(
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


def test_a_new_address_that_was_only_typed_before_is_taken_over(store: Store, bob: int, clock: Clock) -> None:
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
def test_a_complaint_moves_along_and_a_bounce_does_not(
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


def test_an_invalid_new_address_is_refused_and_kept_as_typed(
    client: FlaskClient, store: Store, desk: LetterContext, bob: int
) -> None:
    before = rows(store)
    for typed in ("", "robert", "robert@", BOB.address, BOB.address.upper()):
        answer = send(client, f"{centre(desk, bob)}/address", {"email": typed})
        assert answer.status_code == 400
        assert f'value="{typed}"' in answer.text
    assert client.post(f"{centre(desk, bob)}/address", data={"email": ROBERT}).status_code == 400
    assert rows(store) == before


def test_a_waiting_change_is_in_the_export(store: Store, bob: int, clock: Clock) -> None:
    with store.writing() as session:
        request_change(session, session.get_one(Customer, bob), Address.parse(ROBERT), now=clock.now())
    with store.reading() as session:
        [held] = export_customer(session, session.get_one(Customer, bob))["address_changes"]["data"]
        assert (held["from"], held["to"], held["done_at"]) == (BOB.address, ROBERT, None)
    assert clock.now() - OPPS_DAY < timedelta(days=1)
