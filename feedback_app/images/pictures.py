"""Pictures: a file beside its post becomes every size and format that a browser could want, made once and kept.

What cameras and editors write into a file (EXIF, GPS, XMP, comments) does not reach the site. A picture's names carry
the fingerprint of its bytes: a new picture has new names, and what was published stays right for pages still cached.
"""

import hashlib
import html
import io
import json
import re
import secrets
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import IFD

RASTER = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".tif", ".tiff", ".bmp"})
WIDTHS = (480, 960, 1440)
# What a browser that knows none of the modern formats gets, and what a column of text can show of it.
PLAIN_WIDTH = 960
SIZES = "(min-width: 44rem) 40rem, calc(100vw - 2.5rem)"
MOST_PIXELS = 100_000_000
FOLDER = "pictures"
# Grows when the same picture would be made differently.
RECIPE = 1
_IMG = re.compile(r"<img\b[^<>]*>")
_ATTRIBUTE = re.compile(r'([\w-]+)(?:="([^"]*)")?')
_BOX = re.compile(rb"""<svg\b[^>]*?\bviewBox=["']\s*[-\d.]+[\s,]+[-\d.]+[\s,]+([\d.]+)[\s,]+([\d.]+)""", re.DOTALL)


class BadPicture(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A picture can't be published; one line with its file that says why."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of a picture in one format; `name` is its file's."""

    name: str
    width: int
    kind: str


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of a picture: its size in pixels, the plain file, and the others, modern formats first."""

    width: int
    height: int
    plain: Variant
    variants: list[Variant]


def metadata_texts(path: Path) -> Iterator[str]:
    """What is written into a picture beside the picture, as texts. Nothing for what is none: publishing refuses it."""
    try:
        with _opened(path) as image:
            exif = image.getexif()
            values = [*image.info.values(), *exif.values()]
            for part in (IFD.Exif, IFD.GPSInfo, IFD.Interop):
                values += exif.get_ifd(part).values()
    except (BadPicture, OSError, ValueError, SyntaxError):
        return
    for value in values:
        if isinstance(value, bytes):
            # EXIF's user comments and Windows' titles are written in UTF-16.
            yield value.decode("latin-1")
            yield value.decode("utf-16-le", "ignore")
        else:
            yield str(value)


def made_of(path: Path, cache: Path) -> tuple[Made, Path]:
    """What a picture becomes, and the folder with its files: made now, or when it was first seen. Raises BadPicture."""
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise BadPicture(message) from error
    digest = hashlib.sha256(b"%d " % RECIPE + data).hexdigest()[:16]
    stem = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "picture"
    folder = cache / f"{stem}-{digest}"
    if not (folder / "made.json").exists():
        draft = cache / f".{folder.name}.{secrets.token_hex(4)}"
        draft.mkdir(parents=True)
        try:
            made = _make(path, draft, f"{stem}-{digest[:8]}")
            (draft / "made.json").write_text(json.dumps(asdict(made)), encoding="utf-8")
            # Somebody else may have made the same meanwhile: it is the same.
            if not folder.exists():
                draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    known = json.loads((folder / "made.json").read_text(encoding="utf-8"))
    variants = [Variant(**variant) for variant in known["variants"]]
    return Made(known["width"], known["height"], Variant(**known["plain"]), variants), folder


def clean_copy(path: Path, cache: Path) -> Path:
    """The same picture under its own format and size, without what was written into it. Raises BadPicture."""
    data = path.read_bytes()
    kept = cache / f"clean-{hashlib.sha256(b'%d ' % RECIPE + data).hexdigest()[:32]}{path.suffix.lower()}"
    if not kept.exists():
        with _opened(path) as image:
            kind = image.format or "PNG"
            if getattr(image, "n_frames", 1) > 1:
                frames = io.BytesIO()
                image.info.pop("comment", None)
                image.save(frames, kind, save_all=True)
                cleaned = frames.getvalue()
            else:
                cleaned = _encoded(_upright(image), kind, quality=92)
        cache.mkdir(parents=True, exist_ok=True)
        draft = kept.with_name(f".{kept.name}.{secrets.token_hex(4)}")
        draft.write_bytes(cleaned)
        draft.replace(kept)
    return kept


def dressed(text: str, source: Path, content: Path, cache: Path) -> tuple[str, list[Path], dict[str, Path]]:
    """A post's HTML with every picture in its sizes; the files that it was read from, and those that it needs.

    The latter by their names in the output. A picture that is not there is left as it is: the checks tell. Raises
    BadPicture for one that is there and none.
    """
    reads: list[Path] = []
    brings: dict[str, Path] = {}

    def one(found: re.Match[str]) -> str:
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
                message = f"{_place_of(html.unescape(given['src']), source)}: {error}"
                raise BadPicture(message) from error
        return _drawing(given, path, content, brings, lazy=not first)

    return _IMG.sub(one, text), reads, brings


def _place_of(link: str, source: Path) -> str:
    """`content/posts/opps.md:8`, the first line with a link; the file alone where it is written otherwise."""
    lines = source.read_text(encoding="utf-8-sig").splitlines()
    number = next((number for number, line in enumerate(lines, 1) if link in line), 0)
    return f"{source}:{number}" if number else str(source)


def picture_file(link: str, source: Path, content: Path) -> Path | None:
    """The file that a picture's link means: beside its post, or from the content folder on. None for any other."""
    link = unquote(re.split(r"[?#]", link)[0])
    if not link or "://" in link or link.startswith(("//", "data:", "{")):
        return None
    path = (content / link.lstrip("/") if link.startswith("/") else source.parent / link).resolve()
    inside = path.is_relative_to(content.resolve())
    return path if inside and path.suffix.lower() in RASTER | {".svg"} and path.is_file() else None


def _raster(given: dict[str, str], path: Path, cache: Path, brings: dict[str, Path], *, lazy: bool) -> str:
    made, folder = made_of(path, cache)
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
    # The first is likely to be seen at once, the others when somebody comes to them.
    given = {**given, **({"loading": "lazy"} if lazy else {}), "decoding": "async"}
    attributes = " ".join(f'{name}="{value}"' for name, value in given.items())
    return f"<img {attributes}>"


def _make(path: Path, folder: Path, name: str) -> Made:
    with _opened(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            return _moving(path, image, folder, name)
        kind = "png" if image.format in {"PNG", "GIF", "BMP"} or "A" in image.getbands() else "jpeg"
        upright = _upright(image)
    width, height = upright.size
    widths = [step for step in WIDTHS if step < width] + ([width] if width <= WIDTHS[-1] else [])
    plain_width = min(width, PLAIN_WIDTH)
    variants = []
    resized = {step: _at(upright, step) for step in {*widths, plain_width}}
    for modern, quality in (("avif", 55), ("webp", 78)):
        for step in widths:
            variant = Variant(f"{name}-{step}.{modern}", step, modern)
            (folder / variant.name).write_bytes(_encoded(resized[step], modern.upper(), quality))
            variants.append(variant)
    plain = Variant(f"{name}-{plain_width}.{'jpg' if kind == 'jpeg' else 'png'}", plain_width, kind)
    (folder / plain.name).write_bytes(_encoded(resized[plain_width], kind.upper(), 82))
    return Made(width, height, plain, variants)


def _moving(path: Path, image: Image.Image, folder: Path, name: str) -> Made:
    # What moves keeps its one size; a browser that shows it small still shows it moving.
    kind = (image.format or "GIF").lower()
    plain = Variant(f"{name}.{kind}", image.width, kind)
    shutil.copyfile(clean_copy(path, folder), folder / plain.name)
    for left in folder.glob("clean-*"):
        left.unlink()
    return Made(image.width, image.height, plain, [])


def _at(image: Image.Image, width: int) -> Image.Image:
    if width == image.width:
        return image
    return image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)


def _upright(image: Image.Image) -> Image.Image:
    """The picture as it is meant to be seen, in pixels alone."""
    turned = ImageOps.exif_transpose(image)
    profile = turned.info.get("icc_profile")
    mode = "RGBA" if turned.mode in {"P", "PA", "LA", "RGBA"} or "transparency" in turned.info else "RGB"
    plain = turned.convert("L" if turned.mode == "L" else mode)
    plain.info = {"icc_profile": profile} if profile and mode != "L" else {}
    return plain


def _encoded(image: Image.Image, kind: str, quality: int) -> bytes:
    image = image.convert("RGB") if kind == "JPEG" and image.mode == "RGBA" else image
    more: dict[str, dict[str, Any]] = {
        "JPEG": {"progressive": True, "optimize": True},
        "AVIF": {"speed": 8},
        "PNG": {"optimize": True},
    }
    out = io.BytesIO()
    profile = {"icc_profile": image.info["icc_profile"]} if image.info.get("icc_profile") else {}
    image.save(out, kind, quality=quality, **more.get(kind, {}), **profile)
    return out.getvalue()


def _opened(path: Path) -> Image.Image:
    """A picture whose pixels can be asked for. Raises BadPicture for what is none, and for what is too large."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
            if image.width * image.height > MOST_PIXELS:
                message = f"{path}: the picture has more than {MOST_PIXELS // 1_000_000} million pixels: shrink it"
                raise BadPicture(message)
            image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError, EOFError) as error:
        large = isinstance(error, Image.DecompressionBombError)
        message = f"{path}: {'the picture is too large' if large else 'this is not a picture, or only a part of one'}"
        raise BadPicture(message) from None
    return image
