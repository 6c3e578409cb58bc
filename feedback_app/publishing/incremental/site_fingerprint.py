"""The site's own key: a fingerprint of all that every page depends on. When it changes, everything is made anew."""

from collections.abc import Collection
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from feedback_app.publishing.files.assets import KINDS
from feedback_app.publishing.files.scan import digest

THEME = Path("theme")
# Libraries that make pages and pictures.
LIBRARIES = ("pelican", "markdown", "jinja2", "feedgenerator", "nh3", "pillow")


def site_key(configuration: Path) -> str:
    """Return a fingerprint of the configuration, the theme and the program."""
    folder = configuration.resolve().parent
    # Styles and scripts count, too: every page names them with their fingerprints.
    theme = sorted(
        path
        for path in (folder / THEME).rglob("*")
        if path.is_file() and (path.suffix in KINDS or "templates" in path.parts)
    )
    files = [*sorted(folder.glob("*conf.py")), *theme]
    parts = [part for path in files for part in (str(path).encode(), path.read_bytes())]
    return digest(program_fingerprint(), *parts).hex()


def plain_settings(values: dict[str, Any], *, without: Collection[str]) -> list[tuple[str, str]]:
    """Return Pelican's settings as texts, in order, without those that differ from build to build."""
    return sorted((name, _as_text(value)) for name, value in values.items() if name not in without)


def _as_text(value: Any) -> str:  # noqa: ANN401 - a setting can hold anything
    match value:
        case dict():
            return repr(sorted((str(name), _as_text(item)) for name, item in value.items()))
        case list() | tuple():
            return repr([_as_text(item) for item in value])
        case set() | frozenset():
            return repr(sorted(_as_text(item) for item in value))
    return getattr(value, "__qualname__", "") if callable(value) else str(value)


@cache
def program_fingerprint() -> bytes:
    """Return a fingerprint of the program's own files and of the libraries that make pages.

    Computed once: a builder that goes on running while the program is replaced is still the old program.
    """
    package = Path(__file__).parents[2]
    folders = [package / name for name in ("comments", "images", "publishing", "templates")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in {".py", ".html", ".xml"}]
    libraries = [f"{name} {version(name)}" for name in LIBRARIES]
    return digest(repr(libraries).encode(), *(path.read_bytes() for path in sorted(files)))
