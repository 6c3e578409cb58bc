"""The documents are true where a program can tell: links lead somewhere, and named modules exist."""

import re
from pathlib import Path

import pytest

from tests.support.shop import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# Recipes name the files that they make.
WITH_MODULES = [path for path in DOCUMENTS if path.name not in {"CONTRIBUTING.md", "CHANGELOG.md"}]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MODULE = re.compile(r"`([\w/]*\w\.py)`")
_INLINE = re.compile(r"`[^`]*`")
_CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def prose(path: Path) -> str:
    """Return a document without its fenced blocks."""
    return _CODE.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """Return the anchors that a forge gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_in_a_document_leads_somewhere(path: Path) -> None:
    for link in _LINK.findall(_INLINE.sub("", prose(path))):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", WITH_MODULES, ids=lambda path: path.name)
def test_every_module_that_a_document_names_exists(path: Path) -> None:
    modules = [
        f"/{module.relative_to(ROOT)}"
        for place in ("feedback_app", "tests", "docs")
        for module in (ROOT / place).rglob("*.py")
    ]
    modules += [f"/{module.name}" for module in ROOT.glob("*.py")]
    missing = {
        name for name in _MODULE.findall(prose(path)) if not any(module.endswith(f"/{name}") for module in modules)
    }
    assert not missing
