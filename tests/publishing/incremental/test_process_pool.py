"""Work spread over processes: an error in a child is told as it would be in one process."""

import os
import signal
import sqlite3
from collections.abc import Callable

import pytest
from sqlalchemy.exc import DBAPIError

from feedback_app.publishing.incremental import ChildDied, ChildFailed, run_in_processes


def raising(error: Exception) -> Callable[[int, int], int]:
    def work(number: int, _processes: int) -> int:
        if number == 1:
            raise error
        return number

    return work


def test_a_child_without_an_answer_from_the_store_is_no_fault_of_the_site() -> None:
    for error in (DBAPIError("SELECT 1", None, Exception("gone")), sqlite3.OperationalError("disk I/O error")):
        with pytest.raises(ChildDied, match="no answer from the store"):
            run_in_processes(raising(error), 2)


def test_a_childs_error_about_a_post_is_told_in_its_own_words() -> None:
    with pytest.raises(ChildFailed, match="opps"):
        run_in_processes(raising(ValueError("opps")), 2)


def test_a_child_that_is_killed_is_noticed() -> None:
    def work(number: int, _processes: int) -> int:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    with pytest.raises(ChildDied, match="has died"):
        run_in_processes(work, 2)
