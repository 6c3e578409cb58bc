"""What a whole site is made of, in a few bytes: when that is another, everything is made anew."""

from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any

from feedback_app.publishing.files.assets import KINDS
from feedback_app.publishing.files.scan import digest

THEME = Path("theme")
# Libraries that make pages and pictures.
LIBRARIES = ("pelican", "markdown", "jinja2", "feedgenerator", "nh3", "pillow")


def site_key(configuration: Path) -> str:
    """A fingerprint of all that every page depends on: configuration, theme, program."""
    folder = configuration.resolve().parent
    # Styles and scripts, too: every page names them by their fingerprints.
    theme = sorted(
        path
        for path in (folder / THEME).rglob("*")
        if path.is_file() and (path.suffix in KINDS or "templates" in path.parts)
    )
    files = [*sorted(folder.glob("*conf.py")), *theme]
    parts = [part for path in files for part in (str(path).encode(), path.read_bytes())]
    return digest(PROGRAM, *parts).hex()


def plain_settings(values: dict[str, Any], *, without: Collection[str]) -> list[tuple[str, str]]:
    """Return Pelican's settings as texts, in order, without those that differ from build to build."""
    return sorted((name, _plain(value)) for name, value in values.items() if name not in without)


def _plain(value: Any) -> str:  # noqa: ANN401 - whatever a setting holds
    match value:
        case dict():
            return repr(sorted((str(name), _plain(item)) for name, item in value.items()))
        case list() | tuple():
            return repr([_plain(item) for item in value])
        case set() | frozenset():
            return repr(sorted(_plain(item) for item in value))
    return getattr(value, "__qualname__", "") if callable(value) else str(value)


def _program() -> bytes:
    """The program as it is: its own files, and the libraries that make pages."""
    package = Path(__file__).parents[2]
    folders = [package / name for name in ("comments", "images", "publishing", "templates")]
    own = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    sources = [part.read_bytes() for part in sorted(own) if part.suffix in {".py", ".html", ".xml"}]
    return digest(repr(libraries).encode(), *sources)


PROGRAM = _program()
