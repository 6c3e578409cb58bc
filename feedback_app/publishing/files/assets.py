"""Styles and scripts of the theme under names with their fingerprint: a browser may keep them for good.

Pages in caches still ask for those they were made with, so a name that no page has any more lives on for a while.
Pictures have such names, too, but go at once: somebody may have taken one away because of what it shows.
"""

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from feedback_app.publishing.files.scan import digest

KINDS = frozenset({".css", ".js"})
LASTS = timedelta(days=7)
_HASHED = re.compile(r"theme/.+\.[0-9a-f]{10}\.(?:css|js)")
_FILE = "old-assets.json"


def hashed_name(name: str, data: bytes) -> str:
    """`css/site.css` as `css/site.0a1b2c3d4e.css`."""
    path = Path(name)
    return str(path.with_name(f"{path.stem}.{digest(data).hex()[:10]}{path.suffix}"))


def asset_urls(theme: Path) -> dict[str, str]:
    """Where a page finds the files of the theme's `static` folder that have such names, by their plain ones."""
    root = theme / "static"
    files = [path for path in root.rglob("*") if path.suffix in KINDS and path.is_file()]
    names = {path.relative_to(root).as_posix(): path for path in files}
    return {name: f"/theme/{hashed_name(name, path.read_bytes())}" for name, path in names.items()}


def lasting(instance: Path, gone: Iterable[str], *, now: datetime) -> set[str]:
    """Those of the files that no page asks for any more which stay for pages in caches."""
    path = instance / _FILE
    try:
        since = {str(name): datetime.fromisoformat(at) for name, at in json.loads(path.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        since = {}
    known = {name: since.get(name, now) for name in gone if _HASHED.fullmatch(name)}
    stay = {name: at for name, at in known.items() if now - at < LASTS}
    if stay != since:
        path.write_text(json.dumps({name: at.isoformat() for name, at in stay.items()}), encoding="utf-8")
    return set(stay)
