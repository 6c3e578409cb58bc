"""A small blog to build, in a folder of its own, with the real theme."""

from collections.abc import Callable
from pathlib import Path

import pytest

from feedback_app.config import Settings
from feedback_app.db.store import Store
from tests.support.blog import Blog, make_blog


@pytest.fixture
def blog(tmp_path: Path, make_settings: Callable[..., Settings], store: Store) -> Blog:
    """A blog that was not built yet."""
    folder = tmp_path / "blog"
    return make_blog(folder, make_settings(content=str(folder / "content")), store)
