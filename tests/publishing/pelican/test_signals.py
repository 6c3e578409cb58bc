"""The signals that docs/extending.md promises to plugins are sent."""

import re

import pytest
from pelican.plugins import signals

from tests.support.blog import Blog
from tests.support.databases import SQLITE
from tests.support.shop import ROOT


@pytest.fixture
def backend() -> str:
    """One database: signals do not depend on which."""
    return SQLITE


def test_every_documented_signal_is_sent(blog: Blog) -> None:
    section = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").split("| signal |")[1].split("\n\n")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    sent: set[str] = set()
    listeners = []
    for name in documented:

        def listen(*_: object, name: str = name, **__: object) -> None:
            sent.add(name)

        getattr(signals, name).connect(listen)
        listeners.append((name, listen))
    try:
        blog.build()
    finally:
        for name, listen in listeners:
            getattr(signals, name).disconnect(listen)
    assert documented
    assert sorted(set(documented) - sent) == []
