"""The app behind a real server, and the owner at work in it, as other tests have them."""

from tests.desk.conftest import at_work, nora
from tests.web.conftest import served

__all__ = ["at_work", "nora", "served"]
