"""Which of the shop's files may have changed."""

from pathlib import Path

import pytest

from feedback_app.publishing.watcher import RECHECK_SECONDS, Changes

OPPS, DOG = Path("opps.md"), Path("dog.md")


def test_noted_files_are_kept_until_they_are_taken() -> None:
    changes = Changes()
    changes.note([OPPS])
    changes.note([DOG])
    assert changes.noted.is_set()
    assert changes.take() == frozenset({OPPS, DOG})
    assert not changes.noted.is_set()
    assert changes.take() is None


def test_once_any_file_may_have_changed_naming_one_narrows_nothing() -> None:
    changes = Changes()
    changes.note()
    changes.note([OPPS])
    assert changes.take() is None
    changes.note([OPPS])
    assert changes.take() == frozenset({OPPS})
    changes.note([OPPS])
    changes.note()
    assert changes.take() is None


def test_a_while_after_some_files_all_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("feedback_app.publishing.watcher.time.monotonic", lambda: now)
    changes = Changes()
    changes.note_recheck_if_due()
    assert not changes.noted.is_set()
    changes.note([OPPS])
    changes.take()
    changes.note_recheck_if_due()
    assert not changes.noted.is_set()
    now += RECHECK_SECONDS
    changes.note_recheck_if_due()
    assert (changes.noted.is_set(), changes.is_recheck) == (True, True)
    # A file that is saved at that moment makes it an ordinary build.
    changes.note([DOG])
    assert not changes.is_recheck
    assert changes.take() is None
    now += RECHECK_SECONDS
    changes.note_recheck_if_due()
    assert not changes.noted.is_set()
