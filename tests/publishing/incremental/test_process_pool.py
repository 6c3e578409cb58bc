"""Work shared between processes: what goes wrong in a helper is what it would be in one process."""

import os
import signal
import sqlite3
from collections.abc import Callable

import pytest
from sqlalchemy.exc import DBAPIError

from feedback_app.publishing.incremental.process_pool import ChildDied, ChildFailed, shared


def raising(error: Exception) -> Callable[[int, int], int]:
    def work(share: int, _shares: int) -> int:
        if share == 1:
            raise error
        return share

    return work


def test_a_helper_that_has_no_answer_from_the_store_is_no_fault_of_the_site() -> None:
    for error in (DBAPIError("SELECT 1", None, Exception("gone")), sqlite3.OperationalError("disk I/O error")):
        with pytest.raises(ChildDied, match="no answer from the store"):
            shared(raising(error), 2)


def test_what_is_wrong_with_a_post_is_told_in_its_own_words() -> None:
    with pytest.raises(ChildFailed, match="opps"):
        shared(raising(ValueError("opps")), 2)


def test_a_helper_that_is_killed_is_missed() -> None:
    def work(share: int, _shares: int) -> int:
        if share == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return share

    with pytest.raises(ChildDied, match="has died"):
        shared(work, 2)
