"""Pictures in a post's HTML: an `<img>` becomes a `<picture>` with every size and format of its file."""

import hashlib
import html
import re
from pathlib import Path
from urllib.parse import unquote

from feedback_app.images.pictures import RASTER, BadPicture, make_files

SIZES = "(min-width: 44rem) 40rem, calc(100vw - 2.5rem)"
FOLDER = "pictures"
_IMG = re.compile(r"<img\b[^<>]*>")
_ATTRIBUTE = re.compile(r'([\w-]+)(?:="([^"]*)")?')
_BOX = re.compile(rb"""<svg\b[^>]*?\bviewBox=["']\s*[-\d.]+[\s,]+[-\d.]+[\s,]+([\d.]+)[\s,]+([\d.]+)""", re.DOTALL)


def add_sizes(text: str, source: Path, content: Path, cache: Path) -> tuple[str, list[Path], dict[str, Path]]:
    """Return a post's HTML with every size of its pictures, the files that were read, and those that the page needs.

    The latter by their names in the output. A link to a missing picture stays as it is, because the checks report it.
    Raises BadPicture where the file is not a picture.
    """
    reads: list[Path] = []
    brings: dict[str, Path] = {}

    def rewritten(found: re.Match[str]) -> str:
        given = dict(_ATTRIBUTE.findall(found[0][4:].rstrip("/>")))
        path = picture_file(html.unescape(given.get("src", "")), source, content)
        if path is None:
            return found[0]
        reads.append(path)
        first = len(reads) == 1
        if path.suffix.lower() in RASTER:
            try:
                return _raster(given, path, cache, brings, lazy=not first)
            except BadPicture as error:
                message = f"{_line_of(html.unescape(given['src']), source)}: {error}"
                raise BadPicture(message) from error
        return _drawing(given, path, content, brings, lazy=not first)

    return _IMG.sub(rewritten, text), reads, brings


def _line_of(link: str, source: Path) -> str:
    """Return `content/posts/opps.md:8`, the first line with the link; only the file where it is written otherwise."""
    lines = source.read_text(encoding="utf-8-sig").splitlines()
    number = next((number for number, line in enumerate(lines, 1) if link in line), 0)
    return f"{source}:{number}" if number else str(source)


def picture_file(link: str, source: Path, content: Path) -> Path | None:
    """Return the file that a picture's link leads to, beside its post or below the content folder; None for others."""
    link = unquote(re.split(r"[?#]", link)[0])
    if not link or "://" in link or link.startswith(("//", "data:", "{")):
        return None
    path = (content / link.lstrip("/") if link.startswith("/") else source.parent / link).resolve()
    inside = path.is_relative_to(content.resolve())
    return path if inside and path.suffix.lower() in RASTER | {".svg"} and path.is_file() else None


def _raster(given: dict[str, str], path: Path, cache: Path, brings: dict[str, Path], *, lazy: bool) -> str:
    made, folder = make_files(path, cache)
    brings |= {f"{FOLDER}/{variant.name}": folder / variant.name for variant in [made.plain, *made.variants]}
    given = {**given, "src": f"/{FOLDER}/{made.plain.name}", "width": str(made.width), "height": str(made.height)}
    img = _img(given, lazy=lazy)
    sources = "".join(
        f'<source type="image/{kind}" sizes="{SIZES}" srcset="'
        + ", ".join(f"/{FOLDER}/{one.name} {one.width}w" for one in made.variants if one.kind == kind)
        + '">'
        for kind in dict.fromkeys(variant.kind for variant in made.variants)
    )
    return f"<picture>{sources}{img}</picture>" if sources else img


def _drawing(given: dict[str, str], path: Path, content: Path, brings: dict[str, Path], *, lazy: bool) -> str:
    data = path.read_bytes()
    box = _BOX.search(data[:4096])
    if box and not {"width", "height"} & given.keys():
        given = {**given, "width": f"{float(box[1]):.0f}", "height": f"{float(box[2]):.0f}"}
    if not path.is_relative_to((content / "images").resolve()):
        stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "picture"
        name = f"{FOLDER}/{stem}-{hashlib.sha256(data).hexdigest()[:8]}.svg"
        brings[name] = path
        given = {**given, "src": f"/{name}"}
    return _img(given, lazy=lazy)


def _img(given: dict[str, str], *, lazy: bool) -> str:
    # The first picture is likely to be visible at once, the others only after scrolling.
    given = {**given, **({"loading": "lazy"} if lazy else {}), "decoding": "async"}
    attributes = " ".join(f'{name}="{value}"' for name, value in given.items())
    return f"<img {attributes}>"
