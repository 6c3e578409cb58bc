"""What the mailer's tests share as fixtures."""

from collections.abc import Iterator

import pytest

from tests.support import mailings


@pytest.fixture(autouse=True)
def connections_are_closed() -> Iterator[None]:
    """Whatever a test's workers opened is closed at its end."""
    yield
    while mailings.WORKERS:
        mailings.WORKERS.pop().transport.close()
