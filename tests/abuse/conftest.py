"""The app behind a real server, as the tests of the web have it."""

from tests.web.conftest import served

__all__ = ["served"]
