"""Fixtures of browser tests: the app on a real server in this process, with the pinned clock."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from feedback_app.app import Serving, create_app
from feedback_app.config import Settings
from feedback_app.db.store import Store
from tests.support.clock import Clock
from tests.support.serving import serving
from tests.support.shop import ROOT


@pytest.fixture
def served(make_settings: Callable[..., Settings], store: Store, clock: Clock, tmp_path: Path) -> Iterator[str]:  # noqa: ARG001 - its time is pinned
    """URL of a server with the app and its style sheet, but not the blog."""
    output = tmp_path / "output"
    shutil.copytree(ROOT / "theme" / "static", output / "theme")
    shutil.copytree(ROOT / "content" / "images", output / "images")
    app = create_app(make_settings(), store, Serving(loopback=True, workers=frozenset()))
    with serving(app) as where:
        yield where


@pytest.fixture
def page(served: str, page: Page) -> Page:  # noqa: ARG001 - it ends after the page, which may still ask it for a picture
    """A browser page for the served app."""
    return page
