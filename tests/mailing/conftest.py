"""Fixtures of the mailer's tests."""

from collections.abc import Iterator

import pytest

from tests.support import mailings


@pytest.fixture(autouse=True)
def connections_are_closed() -> Iterator[None]:
    """Close the connections of a test's workers at its end."""
    yield
    while mailings.WORKERS:
        mailings.WORKERS.pop().transport.close()
