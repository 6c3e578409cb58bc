"""Fixtures of the desk's and the browser's tests, for these tests too."""

from tests.desk.conftest import at_work, nora
from tests.web.conftest import served

__all__ = ["at_work", "nora", "served"]
