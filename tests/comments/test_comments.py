"""Posting, deciding, following: what the services promise."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from feedback_app.comments.models import CommentStatus
from feedback_app.comments.posting import Posted, post_comment, prepare_text
from feedback_app.comments.services import NoSuchComment, change_status, find_parent, list_comments
from feedback_app.comments.spam.verdicts import Evidence, Rules
from feedback_app.comments.threads.public_comments import approved_comments, newest_comments
from feedback_app.comments.threads.registry import find_thread, thread_versions
from feedback_app.config import Moderation
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY
from tests.support.comments import BISCUIT, OPPS, publish, say, set_status, thread_of
from tests.support.databases import SQLITE

APPROVED, PENDING, REJECTED = CommentStatus.APPROVED, CommentStatus.PENDING, CommentStatus.REJECTED


@pytest.fixture(autouse=True)
def _published(store: Store) -> None:
    publish(store, OPPS, BISCUIT)


def version(store: Store) -> int:
    """How often a reader could have seen the apology's thread change."""
    with store.reading() as session:
        return thread_versions(session)[OPPS.path]


def test_with_moderation_all_even_a_known_voice_waits(store: Store) -> None:
    first = say(store, moderation=Moderation.NONE)
    assert say(store, moderation=Moderation.ALL, earlier=[first.id]).status is PENDING


def test_with_moderation_first_nora_waits_once_and_is_trusted_after_that(store: Store) -> None:
    first = say(store, moderation=Moderation.FIRST)
    assert first.status is PENDING
    assert say(store, moderation=Moderation.FIRST, earlier=[first.id]).status is PENDING
    set_status(store, APPROVED, first)
    assert say(store, moderation=Moderation.FIRST, earlier=[first.id]).status is APPROVED
    assert say(store, moderation=Moderation.FIRST, earlier=[]).status is PENDING


def test_with_moderation_first_a_rejected_comment_earns_no_trust(store: Store) -> None:
    first = say(store, moderation=Moderation.NONE)
    set_status(store, REJECTED, first)
    assert say(store, moderation=Moderation.FIRST, earlier=[first.id]).status is PENDING


def test_with_moderation_none_nobody_waits(store: Store) -> None:
    assert say(store, moderation=Moderation.NONE).status is APPROVED


@pytest.mark.parametrize("text", ["bob@example.org", "bob&#64;example.org", "bob**@**example.org"])
def test_an_address_in_the_text_always_waits(store: Store, text: str) -> None:
    first = say(store)
    assert say(store, f"Write to {text}", earlier=[first.id]).status is PENDING


def test_an_address_as_a_name_waits_and_is_masked_for_good(store: Store) -> None:
    comment = say(store, author="nora@example.com")
    assert (comment.status, comment.author) == (PENDING, "…@…")


def test_deciding_on_a_number_that_is_none_changes_nothing(store: Store) -> None:
    comment = say(store, moderation=Moderation.ALL)
    for unknown in (comment.id + 1, 2**31, 2**70):
        with pytest.raises(NoSuchComment, match=f"no comment {unknown}"), store.writing() as session:
            change_status(session, [comment.id, unknown], APPROVED, now=OPPS_DAY)
    with store.reading() as session:
        assert [row.status for row, _ in list_comments(session)] == [PENDING]


def test_deciding_counts_what_it_changed_and_says_so_once(store: Store) -> None:
    one, two = say(store, moderation=Moderation.ALL), say(store, moderation=Moderation.ALL)
    assert set_status(store, APPROVED, one, one) == 1
    assert set_status(store, APPROVED, one, two) == 1
    assert set_status(store, APPROVED, one, two) == 0


def test_the_version_grows_only_when_a_reader_could_see_a_change(store: Store) -> None:
    assert version(store) == 0
    waiting = say(store, moderation=Moderation.ALL)
    assert version(store) == 0
    set_status(store, REJECTED, waiting)
    set_status(store, CommentStatus.SPAM, waiting)
    assert version(store) == 0
    set_status(store, APPROVED, waiting)
    assert version(store) == 1
    set_status(store, APPROVED, waiting)
    assert version(store) == 1
    set_status(store, CommentStatus.DELETED, waiting)
    assert version(store) == 2
    say(store)
    assert version(store) == 3


def test_one_decision_about_two_comments_of_a_thread_is_one_change(store: Store) -> None:
    set_status(store, APPROVED, say(store, moderation=Moderation.ALL), say(store, moderation=Moderation.ALL))
    assert version(store) == 1


def test_the_same_form_sent_many_times_at_once_is_one_comment(store: Store) -> None:
    thread = thread_of(store)
    rules = Rules(Moderation.NONE)
    words = prepare_text("Nora", "Use Bcc, friends.", rules)

    def press(_: int) -> Posted:
        return store.write(
            lambda session: post_comment(
                session, thread.id, words, rules=rules, evidence=Evidence(), now=OPPS_DAY, form_hash=b"f" * 32
            )
        )

    with ThreadPoolExecutor(6) as pool:
        posted = list(pool.map(press, range(12)))
    assert len({one.id for one in posted}) == 1
    assert sorted(one.again for one in posted) == [False] + [True] * 11
    assert {one.status for one in posted} == {APPROVED}
    assert version(store) == 1


def test_a_comment_that_breaks_off_leaves_nothing(store: Store) -> None:
    thread, rules = thread_of(store), Rules(Moderation.NONE)

    def break_off(session: Session) -> None:
        post_comment(
            session, thread.id, prepare_text("Nora", "Use Bcc.", rules), rules=rules, evidence=Evidence(), now=OPPS_DAY
        )
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(break_off)
    with store.reading() as session:
        assert list_comments(session) == []
    assert version(store) == 0


def test_only_an_approved_comment_of_the_same_post_can_be_answered(store: Store) -> None:
    here, elsewhere = say(store), say(store, post=BISCUIT.path)
    waiting = say(store, moderation=Moderation.ALL)
    thread = thread_of(store)
    with store.reading() as session:
        assert find_parent(session, thread.id, here.id) is not None
        for number in (elsewhere.id, waiting.id, waiting.id + 1, 0, 2**31, 10**15):
            assert find_parent(session, thread.id, number) is None


def test_a_post_that_is_gone_takes_no_comments_and_gets_them_back_with_its_return(store: Store) -> None:
    comment = say(store)
    publish(store, BISCUIT)
    with store.reading() as session:
        assert find_thread(session, OPPS.path) is None
        assert newest_comments(session, 50) == []
    publish(store, BISCUIT, OPPS)
    with store.reading() as session:
        assert [row.id for row in approved_comments(session)[OPPS.path]] == [comment.id]


@pytest.mark.parametrize("backend", [SQLITE])
def test_the_comments_of_some_posts_are_found_without_a_look_at_those_of_all_others(store: Store) -> None:
    asked: list[str] = []
    with store.reading() as session:
        driver: Any = session.connection().connection.dbapi_connection
        driver.set_trace_callback(asked.append)
        approved_comments(session, [OPPS.path, BISCUIT.path])
        driver.set_trace_callback(None)
        plans = [" ".join(row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {one}")) for one in asked]
    assert ["(path=?)" in plans[0], "(thread_id=? AND status=?)" in plans[1]] == [True, True], plans
    assert not any("SCAN" in plan for plan in plans)


def test_paths_that_no_database_could_hold_are_no_threads(store: Store) -> None:
    with store.reading() as session:
        for path in ("", "/2007/10/opps.html\0", "/" + "x" * 5000, "\N{REPLACEMENT CHARACTER}"):
            assert find_thread(session, path) is None


def test_comments_are_listed_oldest_first_and_by_status(store: Store) -> None:
    late = say(store, now=OPPS_DAY + timedelta(hours=1))
    early = say(store, moderation=Moderation.ALL, now=OPPS_DAY)
    with store.reading() as session:
        assert [row.id for row, _ in list_comments(session)] == [early.id, late.id]
        assert [row.id for row, _ in list_comments(session, PENDING)] == [early.id]
        assert [thread.path for _, thread in newest_comments(session, 1)] == [OPPS.path]
