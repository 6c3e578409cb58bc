"""Export, erasure and retention: customers see everything held about them, and can have it deleted."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from feedback_app.audit_log import AuditLine
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.posting import post_comment, prepare_text
from feedback_app.comments.services import change_status, find_parent
from feedback_app.comments.spam.verdicts import Evidence, Rules
from feedback_app.comments.threads.registry import Post, find_thread, register_posts
from feedback_app.config import Moderation, Settings
from feedback_app.customers.addresses import Address
from feedback_app.customers.consent import history, may_write_to
from feedback_app.customers.importing.services import import_customers
from feedback_app.customers.models import ConsentAction, ConsentEvent, Customer, Frequency, NameDisplay, Suppression
from feedback_app.customers.services import find_customer, request_link
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.letter_queue import LetterKind, LetterRequest, queue_letter
from feedback_app.mailing.delivery.worker import mail_worker
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.mailings.services import hold
from feedback_app.mailing.mailings.source import MailingSource
from feedback_app.mailing.models import Delivery, DeliveryState
from feedback_app.privacy.erasing import NAMELESS_AUTHOR, CommentsFate, Erased, erase_customer
from feedback_app.privacy.export import export_customer
from feedback_app.privacy.retention import Purged, purge
from tests.support.clock import OPPS_DAY, Clock
from tests.support.people import ALICE, BOB, welcome
from tests.support.shop import Shop

OPPS = Post("/2007/10/opps.html", "Opps!", OPPS_DAY)


def comment(session: Session, *, author: str, address: str | None, parent: int | None = None) -> int:
    register_posts(session, [OPPS])
    session.flush()
    thread = find_thread(session, OPPS.path)
    assert thread is not None
    made = post_comment(
        session,
        thread.id,
        prepare_text(author, "I loved the stripy ones.", Rules(Moderation.NONE)),
        address=Address.parse(address) if address else None,
        parent=find_parent(session, thread.id, parent) if parent else None,
        rules=Rules(Moderation.NONE),
        evidence=Evidence([]),
        now=OPPS_DAY,
    )
    return made.id


@pytest.fixture
def alice(store: Store, settings: Settings, desk: LetterContext, clock: Clock) -> int:
    """Alice, who has chosen, commented, and got the free-socks letter."""
    number = welcome(store, ALICE, now=clock.now(), named=NameDisplay.FULL, specials=Frequency.EACH)
    with store.writing() as session:
        comment(session, author="Alice from London", address=ALICE.address)
        draft = MailingSource("free-socks", Topic.SPECIALS, "Free socks", "friend", "Hello {{ name }}")
        hold(session, draft, minutes=0, now=clock.now())
    with mail_worker(store, settings, desk) as worker:
        worker.work_once()
    return number


def test_an_export_shows_everything_held_about_a_person_and_why(store: Store, alice: int) -> None:
    with store.reading() as session:
        held = export_customer(session, session.get_one(Customer, alice))
    assert all(kind["why"] for kind in held.values())
    assert held["person"]["data"]["address"] == ALICE.address
    assert held["person"]["data"]["name"] == ALICE.name
    assert held["choices"]["data"] == {"specials": "each", "news": None, "replies": None}
    assert [event["action"] for event in held["consents"]["data"]] == ["given"]
    assert [letter["state"] for letter in held["letters"]["data"]] == ["accepted"]
    assert [said["author"] for said in held["comments"]["data"]] == ["Alice from London"]
    assert json.loads(json.dumps(held)) == held


def test_an_export_has_nothing_about_other_people(store: Store, alice: int) -> None:
    welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    with store.reading() as session:
        held = json.dumps(export_customer(session, session.get_one(Customer, alice)))
    assert BOB.address not in held
    assert BOB.name not in held


def test_erasing_keeps_only_what_counts_or_proves(store: Store, alice: int) -> None:
    with store.writing() as session:
        done = erase_customer(session, session.get_one(Customer, alice), now=OPPS_DAY)
    assert done == Erased(choices=1, comments=1, deliveries=1)
    with store.reading() as session:
        assert find_customer(session, Address.parse(ALICE.address)) is None
        [said] = session.scalars(select(Comment))
        assert (said.author, said.customer_id, said.text) == (NAMELESS_AUTHOR, None, "I loved the stripy ones.")
        [delivery] = session.scalars(select(Delivery))
        assert (delivery.customer_id, delivery.state) == (None, DeliveryState.ACCEPTED)
        actions = [event.action for event in session.scalars(select(ConsentEvent).order_by(ConsentEvent.id))]
        assert actions == [ConsentAction.GIVEN, ConsentAction.WITHDRAWN]
        assert session.scalar(select(func.count()).select_from(Suppression)) == 1


def test_a_new_customer_never_inherits_an_erased_persons_record(store: Store, alice: int) -> None:
    with store.writing() as session:
        erase_customer(session, session.get_one(Customer, alice), now=OPPS_DAY)
    bob = welcome(store, BOB, now=OPPS_DAY)
    assert bob != alice
    with store.reading() as session:
        assert history(session, session.get_one(Customer, bob)) == []


def test_an_erased_persons_record_and_suppression_are_not_linked(store: Store, alice: int) -> None:
    with store.writing() as session:
        erase_customer(session, session.get_one(Customer, alice), now=OPPS_DAY)
    with store.reading() as session:
        moments = set(session.scalars(select(ConsentEvent.at).where(ConsentEvent.action == ConsentAction.WITHDRAWN)))
        assert moments == {OPPS_DAY.replace(hour=0, minute=0)}
        assert set(session.scalars(select(Suppression.at))) == {OPPS_DAY}


def test_an_import_does_not_bring_an_erased_person_back(store: Store, alice: int, tmp_path: Path) -> None:
    with store.writing() as session:
        erase_customer(session, session.get_one(Customer, alice), now=OPPS_DAY)
    path = tmp_path / "old-list.csv"
    path.write_text("email\nAlice@Example.com\n", encoding="utf-8")
    report = import_customers(store, path, topic=Topic.SPECIALS, evidence="The old list", now=OPPS_DAY)
    assert (report.added, report.suppressed) == (0, 1)


def test_an_erased_person_can_come_back_by_their_own_choice(store: Store, alice: int) -> None:
    with store.writing() as session:
        erase_customer(session, session.get_one(Customer, alice), now=OPPS_DAY)
    again = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH)
    with store.reading() as session:
        assert may_write_to(session, session.get_one(Customer, again), Topic.SPECIALS, now=OPPS_DAY)


def test_erasing_can_delete_the_comments_too(store: Store, alice: int) -> None:
    with store.writing() as session:
        before = session.scalars(select(Thread.version)).one()
        erase_customer(session, session.get_one(Customer, alice), now=OPPS_DAY, comments=CommentsFate.DELETED)
    with store.reading() as session:
        [said] = session.scalars(select(Comment))
        assert (said.status, said.text, said.html, said.author) == (CommentStatus.DELETED, "", "", NAMELESS_AUTHOR)
        assert session.scalars(select(Thread.version)).one() == before + 1


def test_unconfirmed_requests_are_purged_after_seven_days(store: Store, alice: int) -> None:
    with store.writing() as session:
        request_link(session, Address.parse(BOB.address), now=OPPS_DAY, quiet=True)
        request_link(session, Address.parse(ALICE.address), now=OPPS_DAY, quiet=True)
    with store.writing() as session:
        assert not purge(session, now=OPPS_DAY + timedelta(days=6, hours=23))
    with store.writing() as session:
        done = purge(session, now=OPPS_DAY + timedelta(days=7))
    # Bob's request goes with Bob. Alice's goes too, as does the owner's copy of the mailing.
    assert done == Purged(unconfirmed=1, letter_requests=2, comments=0)
    with store.reading() as session:
        assert find_customer(session, Address.parse(BOB.address)) is None
        assert session.get(Customer, alice) is not None
        assert session.scalar(select(func.count()).select_from(LetterRequest)) == 0


def test_a_letter_to_the_owner_does_not_stop_a_purge(store: Store) -> None:
    with store.writing() as session:
        request_link(session, Address.parse(BOB.address), now=OPPS_DAY, quiet=True)
        queue_letter(session, LetterKind.MAILING_COPY, None, now=OPPS_DAY + timedelta(days=6))
    with store.writing() as session:
        assert purge(session, now=OPPS_DAY + timedelta(days=7)).unconfirmed == 1


def test_a_comments_unconfirmed_address_is_purged_without_the_comment(store: Store) -> None:
    with store.writing() as session:
        number = comment(session, author="Nora", address="nora@example.com")
    with store.writing() as session:
        assert purge(session, now=OPPS_DAY + timedelta(days=7)).unconfirmed == 1
    with store.reading() as session:
        said = session.get_one(Comment, number)
        assert (said.author, said.customer_id, said.status) == ("Nora", None, CommentStatus.APPROVED)


def test_a_recent_commenter_is_not_purged_for_an_old_request(store: Store) -> None:
    with store.writing() as session:
        request_link(session, Address.parse("nora@example.com"), now=OPPS_DAY - timedelta(days=8), quiet=True)
        number = comment(session, author="Nora", address="nora@example.com")
    with store.writing() as session:
        assert purge(session, now=OPPS_DAY).unconfirmed == 0
    with store.reading() as session:
        assert session.get_one(Comment, number).customer_id is not None


@pytest.mark.parametrize("status", [CommentStatus.REJECTED, CommentStatus.SPAM, CommentStatus.DELETED])
def test_rejected_comments_are_purged_after_thirty_days(store: Store, status: CommentStatus) -> None:
    with store.writing() as session:
        question = comment(session, author="Eve", address=None)
        answer = comment(session, author="Nora", address=None, parent=question)
        change_status(session, [question], status, now=OPPS_DAY)
    with store.writing() as session:
        assert purge(session, now=OPPS_DAY + timedelta(days=29)).comments == 0
    with store.writing() as session:
        assert purge(session, now=OPPS_DAY + timedelta(days=30)).comments == 1
    with store.reading() as session:
        assert session.get(Comment, question) is None
        assert session.get_one(Comment, answer).parent_id is None
        # The spam checks' findings about it are gone too.
        assert session.scalars(select(AuditLine.comment_id)).all() == [answer]


def test_the_commands_show_export_and_erase(shop: Shop) -> None:
    path = shop.folder / "list.csv"
    path.write_text("email,name\nalice@example.com,Alice Adams\n", encoding="utf-8")
    shop.run("customers", "import", str(path), "--topic", "specials", "--evidence", "The market")
    assert shop.json("customers", "show", "ALICE@example.com")["choices"]["specials"] == "each"
    assert "Alice Adams" in shop.run("customers", "show", "alice@example.com").stdout
    assert shop.json("customers", "export", "alice@example.com")["person"]["data"]["name"] == "Alice Adams"
    assert "Erased" in shop.run("customers", "erase", "alice@example.com").stdout
    gone = shop.run("customers", "erase", "alice@example.com")
    assert "Nothing to erase" in gone.stdout
    unknown = shop.run("customers", "export", "alice@example.com", expect=1)
    wrong = shop.run("customers", "show", "not-an-address", expect=1)
    assert "only a suppression is held (erased" in unknown.stderr
    for done in (gone, unknown, wrong):
        assert "alice" not in done.stdout + done.stderr
        assert done.stderr.count("\n") <= 1
    assert shop.json("db", "purge") == {"unconfirmed": 0, "letter_requests": 0, "comments": 0}
