"""What is known of changes in the shop's files."""

from pathlib import Path

import pytest

from feedback_app.publishing.watcher import SURE_SECONDS, Changes

OPPS, DOG = Path("opps.md"), Path("dog.md")


def test_files_are_named_until_somebody_takes_note_of_them() -> None:
    seen = Changes()
    seen.note([OPPS])
    seen.note([DOG])
    assert seen.noted.is_set()
    assert seen.take() == frozenset({OPPS, DOG})
    assert not seen.noted.is_set()
    assert seen.take() is None


def test_once_it_can_be_any_file_no_name_makes_it_fewer() -> None:
    seen = Changes()
    seen.note()
    seen.note([OPPS])
    assert seen.take() is None
    seen.note([OPPS])
    assert seen.take() == frozenset({OPPS})
    seen.note([OPPS])
    seen.note()
    assert seen.take() is None


def test_all_are_looked_at_a_while_after_some_were_and_never_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("feedback_app.publishing.watcher.time.monotonic", lambda: now)
    seen = Changes()
    seen.note_in_time()
    assert not seen.noted.is_set()
    seen.note([OPPS])
    seen.take()
    seen.note_in_time()
    assert not seen.noted.is_set()
    now += SURE_SECONDS
    seen.note_in_time()
    assert (seen.noted.is_set(), seen.again) == (True, True)
    # Whoever saves something at that moment is told of it as ever.
    seen.note([DOG])
    assert not seen.again
    assert seen.take() is None
    now += SURE_SECONDS
    seen.note_in_time()
    assert not seen.noted.is_set()
