"""Every link in every letter is for one customer, one purpose and some days, and following it changes nothing."""

import re
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.routing import Rule

from feedback_app.comments.author_edits import request_comments_link
from feedback_app.comments.decisions import Decision
from feedback_app.comments.models import Comment, Following
from feedback_app.customers.address_changes import AddressSide, accept_change, request_change
from feedback_app.customers.addresses import Address
from feedback_app.customers.models import AddressChange, Customer, Frequency, NameDisplay
from feedback_app.customers.services import request_link
from feedback_app.customers.subscriptions import SubscriptionRequest, request_confirmation
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.letter_queue import LetterKind, LetterRequest, queue_letter
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.mailings import services
from feedback_app.mailing.mailings.digests import make_due
from feedback_app.mailing.models import Mailing, MailingState
from feedback_app.security.tokens import Claim, Purpose
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comments import OPPS, publish, say
from tests.support.databases import SQLITE
from tests.support.mailings import FREE_SOCKS, html_of, read, text_of, worker_to
from tests.support.people import ALICE, BOB, CAROL, welcome
from tests.support.preference_pages import rows
from tests.support.smtp import MailServer

SITE = "http://127.0.0.1:8000"
DAYS = 7
SUBSCRIPTION = SubscriptionRequest((Topic.NEWS,), Frequency.EACH)
# Signing in has links of its own kind, and its own tests.
OTHERS = ("security.", "owner.")
LINKS = re.compile(rf"{re.escape(SITE)}(/[^\s\"'<>)]*)")


@pytest.fixture
def backend() -> str:
    """One database: the kind makes no difference here."""
    return SQLITE


def move_in(store: Store, name: str, address: str, new_address: str) -> dict[Purpose, Claim]:
    """Make a customer with one of everything a link can be about; return the claims of their links, by purpose."""
    comment = say(store, author=name, address=address, notify=True)
    with store.writing() as session:
        number = session.get_one(Comment, comment.id).customer_id
        assert number
        customer = session.get_one(Customer, number)
        customer.confirmed_at = OPPS_DAY
        request_confirmation(session, Address.parse(address), SUBSCRIPTION, asked_at=OPPS_DAY, now=OPPS_DAY)
        request_change(session, customer, Address.parse(new_address), now=OPPS_DAY)
        following = session.scalars(select(Following.id).where(Following.customer_id == number)).one()
        change = session.scalars(select(AddressChange.id).where(AddressChange.customer_id == number)).one()
    numbers = {
        Purpose.CONFIRM_ANSWERS: following,
        Purpose.STOP_ANSWERS: following,
        Purpose.CHANGE_FROM: change,
        Purpose.CHANGE_TO: change,
        Purpose.MODERATE: comment.id,
    }
    about = {
        Purpose.UNSUBSCRIBE: Topic.SPECIALS.info.code,
        Purpose.SUBSCRIBE: SUBSCRIPTION.code,
        Purpose.MODERATE: next(iter(Decision)).code,
    }
    return {one: Claim(one, numbers.get(one, number), about.get(one, 0)) for one in Purpose}


def doors(app: Flask) -> list[Rule]:
    """Return the routes that links lead to."""
    return [
        rule for rule in app.url_map.iter_rules() if "token" in rule.arguments and not rule.endpoint.startswith(OTHERS)
    ]


def opens(client: FlaskClient, rule: Rule, token: str) -> bool:
    """Return whether a route accepts a token, with GET or POST. A button's page without its form answers 400."""
    method = "GET" if "GET" in (rule.methods or ()) else "POST"
    status = client.open(rule.rule.replace("<token>", token), method=method).status_code
    assert status in {200, 400, 404, 409, 410}, (rule.rule, status)
    return status not in {404, 410}


def test_a_link_opens_only_its_own_page_for_its_customer_and_days(
    app: Flask, client: FlaskClient, store: Store, desk: LetterContext, clock: Clock
) -> None:
    publish(store, OPPS)
    alice = move_in(store, "Alice", ALICE.address, "anna@example.com")
    bob = move_in(store, "Bob", BOB.address, "robert@example.net")
    tried, opened, before = 0, set(), rows(store)
    for rule in doors(app):
        right = []
        for purpose, claim in alice.items():
            token = desk.signer.sign(claim, now=OPPS_DAY, days=DAYS)
            clock.moment = OPPS_DAY
            if opens(client, rule, token):
                right.append(purpose)
                # Nothing about another customer is on the page.
                if "GET" in (rule.methods or ()):
                    page = client.get(rule.rule.replace("<token>", token)).text
                    assert not re.search(r"b…@e…|r…@e…|bob@|robert@", page), rule.rule
                # It works on its last day, and not after.
                clock.moment = OPPS_DAY + timedelta(days=DAYS)
                assert opens(client, rule, token), rule.rule
                clock.moment = OPPS_DAY + timedelta(days=DAYS + 1)
                assert not opens(client, rule, token), rule.rule
                clock.moment = OPPS_DAY
                for bad in (token[:-1], token + token, token[:-4] + "AAAA", token[4:], f"{token}=", "x"):
                    assert not opens(client, rule, bad), (rule.rule, bad)
            tried += 1
        assert len(right) == 1, f"{rule.rule} opens to {right}"
        opened.add(right[0])
    assert opened == set(Purpose), "a purpose without a page"
    assert rows(store) == before
    assert tried == len(doors(app)) * len(Purpose)
    # Alice's and Bob's rows have different ids for every purpose, so no link could mean the other by accident.
    assert all(alice[purpose].person != bob[purpose].person for purpose in Purpose)


def test_a_token_never_reveals_another_customers_name(client: FlaskClient, store: Store, desk: LetterContext) -> None:
    publish(store, OPPS)
    alice, bob = (
        move_in(store, "Alice", ALICE.address, "anna@example.com"),
        move_in(store, "Bob", BOB.address, "robert@example.net"),
    )
    for purpose in (Purpose.PREFERENCES, Purpose.SUBSCRIBE):
        mixed = alice[purpose]._replace(about=99)
        token = desk.signer.sign(mixed, now=OPPS_DAY, days=DAYS)
        page = {Purpose.PREFERENCES: "preferences", Purpose.SUBSCRIBE: "subscribe"}[purpose]
        assert client.get(f"/feedback/{page}/{token}").status_code == 404
    theirs = desk.signer.sign(bob[Purpose.PREFERENCES], now=OPPS_DAY, days=DAYS)
    page = client.get(f"/feedback/preferences/{theirs}?show=address").text
    assert BOB.address in page
    assert ALICE.address not in page


# A scanner


def everything_that_is_mailed(store: Store, sink: MailServer, clock: Clock) -> list[bytes]:
    """Let the mailer send one letter of every kind to a mail server."""
    publish(store, OPPS)
    bob = welcome(store, BOB, now=OPPS_DAY, named=NameDisplay.FULL, specials=Frequency.EACH, replies=Frequency.EACH)
    welcome(store, CAROL, now=OPPS_DAY, specials=Frequency.WEEKLY)
    question = say(store, address=BOB.address, notify=True, proven=(1,))
    say(store, address="nora@example.com", notify=True)
    worker = worker_to(sink, store, site_url=SITE, owner_email="owner@example.com", hold_minutes="0")
    worker.work_once()
    with store.writing() as session:
        for following in session.scalars(select(Following).where(Following.customer_id == bob)):
            following.confirmed_at = OPPS_DAY
    say(store, "An answer.", author="Nora", parent=question, now=OPPS_DAY)
    with store.writing() as session:
        request_link(session, Address.parse(ALICE.address), now=clock.now(), quiet=False)
        request_comments_link(session, Address.parse(BOB.address), now=clock.now(), quiet=False)
        request_confirmation(
            session, Address.parse("tess@example.com"), SUBSCRIPTION, asked_at=clock.now(), now=clock.now()
        )
        request_confirmation(session, Address.parse(CAROL.address), SUBSCRIPTION, asked_at=clock.now(), now=clock.now())
        request_change(session, session.get_one(Customer, bob), Address.parse("robert@example.net"), now=clock.now())
        services.hold(session, FREE_SOCKS, minutes=0, now=clock.now())
    worker.work_once()
    with store.writing() as session:
        change = session.scalars(select(AddressChange)).one()
        for side in AddressSide:
            accept_change(session, change, side, now=clock.now())
        mailing = session.scalars(select(Mailing)).one()
        mailing.state, mailing.reason = MailingState.HALTED, "too many were refused"
        queue_letter(session, LetterKind.MAILING_HALTED, None, about=mailing.id, now=clock.now())
    worker.work_once()
    with store.writing() as session:
        session.scalars(select(Mailing)).one().state = MailingState.SENT
    clock.advance(days=7)
    with store.writing() as session:
        assert make_due(session, hold_minutes=0, now=clock.now())
    worker.work_once()
    return [letter.data for letter in sink.letters]


def links_of(letter: bytes) -> set[str]:
    """Return every link to the shop in a letter: in text, HTML and headers."""
    message = read(letter)
    said = [text_of(letter), *(str(value) for value in message.values())]
    if message.get_body(("html",)):
        said.append(unescape(html_of(letter)))
    return {found for text in said for found in LINKS.findall(text)}


def test_a_scanner_that_follows_every_link_changes_nothing(
    client: FlaskClient, store: Store, sink: MailServer, clock: Clock
) -> None:
    letters = everything_that_is_mailed(store, sink, clock)
    with store.reading() as session:
        sent = set(session.scalars(select(LetterRequest.kind).where(LetterRequest.sent_at.is_not(None))))
    ours = {
        LetterKind.PREFERENCES_LINK,
        LetterKind.CONFIRM_ANSWERS,
        LetterKind.ANSWERS,
        LetterKind.OWN_COMMENTS,
        LetterKind.CONFIRM_SUBSCRIPTION,
        LetterKind.CHANGE_OLD,
        LetterKind.CHANGE_NEW,
        LetterKind.ADDRESS_CHANGED,
        LetterKind.MAILING_COPY,
        LetterKind.MAILING_HALTED,
    }
    assert ours <= sent
    assert {str(read(letter)["Subject"]) for letter in letters} >= {"Free socks", "Offers: the last week"}
    links = {link for letter in letters for link in links_of(letter)}
    pages = {link.split("/")[2] for link in links if link.startswith("/feedback/")}
    assert pages == {"preferences", "unsubscribe", "subscribe", "address", "comments"}
    before = rows(store)
    for link in sorted(links):
        for method in ("GET", "HEAD"):
            answer = client.open(link, method=method)
            assert answer.status_code < 500
            if not link.startswith("/feedback/"):
                continue
            assert answer.headers["Referrer-Policy"] == "no-referrer", link
            assert answer.headers["Cache-Control"] == "no-store", link
            assert "noindex" in answer.headers["X-Robots-Tag"], link
            if method == "GET":
                assert 'name="robots" content="noindex' in answer.text, link
    assert rows(store) == before


def test_a_links_token_is_short_and_opaque(store: Store, sink: MailServer, clock: Clock) -> None:
    tokens = [
        link.rpartition("/")[2]
        for letter in everything_that_is_mailed(store, sink, clock)
        for link in links_of(letter)
        if link.startswith("/feedback/")
    ]
    assert tokens
    assert {len(token) for token in tokens} == {40}
    # No two share a prefix by which they could be counted.
    assert len({token[:12] for token in tokens}) == len(set(tokens))
