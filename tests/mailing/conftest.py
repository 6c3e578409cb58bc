"""What the mailer's tests share as fixtures."""

from collections.abc import Iterator

import pytest

from tests.mailing import desk


@pytest.fixture(autouse=True)
def connections_are_closed() -> Iterator[None]:
    """Whatever a test's workers opened is closed at its end."""
    yield
    while desk.WORKERS:
        desk.WORKERS.pop().transport.close()
