"""The app behind a real server, in this process: with the pinned clock, on a port of the kernel's choice."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waitress.server import create_server

from feedback_app.app import Serving, create_app
from feedback_app.config import Settings
from feedback_app.db import Store
from tests.conftest import Clock
from tests.support.shop import ROOT


@pytest.fixture
def served(make_settings: Callable[..., Settings], store: Store, clock: Clock, tmp_path: Path) -> Iterator[str]:  # noqa: ARG001 - its time is pinned
    """Where the app and its style sheet are served; not the blog."""
    output = tmp_path / "output"
    shutil.copytree(ROOT / "theme" / "static", output / "theme")
    shutil.copytree(ROOT / "content" / "images", output / "images")
    app = create_app(make_settings(), store, Serving(loopback=True, workers=frozenset()))
    server = create_server(app, host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    # It goes on for as long as a browser holds a connection; then it ends by itself.
    thread.join(1)
