"""New posts: `Announce: yes` makes a held mailing of news once, when the post is published."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from feedback_app.comments.threads.registry import Post
from feedback_app.config import Settings
from feedback_app.customers.models import Frequency
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.mailing.mailings.services import cancel
from feedback_app.mailing.models import Mailing, MailingState
from feedback_app.publishing.content.announcements import announce, slug_of
from tests.support.clock import OPPS_DAY, Clock
from tests.support.databases import SQLITE
from tests.support.mailings import text_of, worker_to
from tests.support.people import ALICE, BOB, welcome
from tests.support.shop import Shop
from tests.support.smtp import MailServer

SLUG = "post-2007-10-new-socks"


@pytest.fixture
def backend() -> str:
    """One database: what is tested here does not depend on which."""
    return SQLITE


def post(title: str = "New socks", summary: str | None = "Red ones.") -> Post:
    """A post that wants to be known."""
    return Post("/2007/10/new-socks.html", title, OPPS_DAY, announce=summary)


def published(store: Store, settings: Settings, *posts: Post) -> list[str]:
    """A build has published these posts."""
    with store.writing() as session:
        return announce(session, settings, posts)


def test_a_new_post_is_held_once_and_then_told_with_title_summary_and_link(
    store: Store, settings: Settings, sink: MailServer, clock: Clock
) -> None:
    welcome(store, ALICE, now=OPPS_DAY, news=Frequency.EACH)
    welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    assert published(store, settings, post()) == [SLUG]
    with store.reading() as session:
        [mailing] = session.scalars(select(Mailing))
        assert (mailing.topic, mailing.state) == (Topic.NEWS, MailingState.HELD)
        assert mailing.due_at == OPPS_DAY + timedelta(minutes=10)
    worker = worker_to(sink, store)
    worker.work_once()
    assert sink.letters == []
    clock.advance(minutes=11)
    worker.work_once()
    assert sink.recipients() == [ALICE.address]
    text = text_of(sink.letters[0].data)
    assert f"New socks ({settings.site_url}/2007/10/new-socks.html)" in text
    assert "Red ones." in text


def test_however_often_a_post_is_edited_and_whatever_became_of_its_mailing_there_is_no_second_one(
    store: Store, settings: Settings, clock: Clock
) -> None:
    published(store, settings, post())
    assert published(store, settings, post("New socks!", "Red and blue ones.")) == []
    with store.writing() as session:
        cancel(session, SLUG, now=clock.now())
    assert published(store, settings, post()) == []


def test_a_post_that_does_not_ask_for_it_is_not_announced(store: Store, settings: Settings, clock: Clock) -> None:
    assert clock.now() == OPPS_DAY
    assert published(store, settings, post(summary=None)) == []


@pytest.mark.parametrize(
    ("title", "summary"),
    [
        ("Write to eve@evil.example", "Or to mallory@evil.example."),
        ("{{ name }} and {{ nothing }}", "{% raw %} [a](javascript:x) <b>*bold*"),
        ("# A *title* [x](y)", "1. one\n2. two"),
        ("T" * 500, "S" * 3000),
        ("\u202eback\u200bwards", "Soft\u00adhyphens"),
    ],
)
def test_whatever_stands_in_a_post_its_letter_passes_the_gate(
    store: Store, settings: Settings, sink: MailServer, clock: Clock, *, title: str, summary: str
) -> None:
    welcome(store, ALICE, now=OPPS_DAY, news=Frequency.EACH)
    published(store, settings, post(title, summary))
    clock.advance(minutes=11)
    worker_to(sink, store).work_once()
    [letter] = sink.letters
    assert b"evil.example" not in letter.data
    assert "/2007/10/new-socks.html" in text_of(letter.data)


def test_addresses_of_posts_make_slugs_that_differ() -> None:
    paths = ["/2007/10/opps.html", "/2007/10/Opps.html", "/2007/10/o-pps.html", "/2007/10/öpps.html"]
    paths += [f"/2007/10/{'x' * 200}{number}.html" for number in range(2)]
    slugs = [slug_of(path) for path in paths]
    assert slugs[0] == "post-2007-10-opps"
    assert len(set(slugs)) == len(paths)
    assert all(len(slug) <= 100 for slug in slugs)


def test_a_build_announces_what_is_published_and_no_draft(sqlite_shop: Shop) -> None:
    head = (
        "Title: {0}\nDate: 2007-12-24 10:00\nSlug: {0}\nTags: socks\nStatus: {1}\nSummary: S.\nAnnounce: {2}\n\nText.\n"
    )
    for slug, status, said in (("told", "published", "yes"), ("draft", "draft", "yes"), ("quiet", "published", "no")):
        text = head.format(slug, status, said)
        (sqlite_shop.folder / "content" / "posts" / f"{slug}.md").write_text(text, encoding="utf-8")
    sqlite_shop.run("build")
    assert sqlite_shop.json("mail", "status", "post-2007-12-told")["state"] == "held"
    for slug in ("draft", "quiet"):
        sqlite_shop.run("mail", "status", f"post-2007-12-{slug}", expect=1)
