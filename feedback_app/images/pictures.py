"""Picture files: every size and format of a picture for browsers, made once and kept, without metadata.

What cameras and editors write into a file (EXIF, GPS, XMP, comments) does not reach the site. The names of the files
contain the fingerprint of the picture's bytes, so a changed picture gets new names, and pages that are still in a cache
go on showing the old one.
"""

import hashlib
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

from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import IFD

RASTER = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif", ".tif", ".tiff", ".bmp"})
WIDTHS = (480, 960, 1440)
# The width for a browser that knows none of the modern formats: what a column of text can show.
PLAIN_WIDTH = 960
MOST_PIXELS = 100_000_000
# Increase it when the same picture would become other files.
RECIPE = 1


class BadPicture(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A picture can't be published; one line with its file that says why."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One size of a picture in one format; `name` is its file's."""

    name: str
    width: int
    kind: str


@dataclass(frozen=True, slots=True)
class PictureFiles:
    """The files made of a picture: its size in pixels, the plain file, and the variants, modern formats first."""

    width: int
    height: int
    plain: Variant
    variants: list[Variant]


def metadata_texts(path: Path) -> Iterator[str]:
    """Yield a picture's metadata as texts; nothing for a file that is not a picture, which publishing refuses."""
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


def make_files(path: Path, cache: Path) -> tuple[PictureFiles, Path]:
    """Return a picture's files and their folder, and make them if they are not there yet. Raises BadPicture."""
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
            made = _make_variants(path, draft, f"{stem}-{digest[:8]}")
            (draft / "made.json").write_text(json.dumps(asdict(made)), encoding="utf-8")
            # Another process may have made them meanwhile: they are the same.
            if not folder.exists():
                draft.replace(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    record = json.loads((folder / "made.json").read_text(encoding="utf-8"))
    variants = [Variant(**variant) for variant in record["variants"]]
    return PictureFiles(record["width"], record["height"], Variant(**record["plain"]), variants), folder


def clean_copy(path: Path, cache: Path) -> Path:
    """Return a copy of the picture in its own format and size, without metadata. Raises BadPicture."""
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


def _make_variants(path: Path, folder: Path, name: str) -> PictureFiles:
    with _opened(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            return _make_animation(path, image, folder, name)
        kind = "png" if image.format in {"PNG", "GIF", "BMP"} or "A" in image.getbands() else "jpeg"
        upright = _upright(image)
    width, height = upright.size
    widths = [step for step in WIDTHS if step < width] + ([width] if width <= WIDTHS[-1] else [])
    plain_width = min(width, PLAIN_WIDTH)
    variants = []
    resized = {step: _resized(upright, step) for step in {*widths, plain_width}}
    for modern, quality in (("avif", 55), ("webp", 78)):
        for step in widths:
            variant = Variant(f"{name}-{step}.{modern}", step, modern)
            (folder / variant.name).write_bytes(_encoded(resized[step], modern.upper(), quality))
            variants.append(variant)
    plain = Variant(f"{name}-{plain_width}.{'jpg' if kind == 'jpeg' else 'png'}", plain_width, kind)
    (folder / plain.name).write_bytes(_encoded(resized[plain_width], kind.upper(), 82))
    return PictureFiles(width, height, plain, variants)


def _make_animation(path: Path, image: Image.Image, folder: Path, name: str) -> PictureFiles:
    # An animation keeps its only size: scaled down by the browser it still moves.
    kind = (image.format or "GIF").lower()
    plain = Variant(f"{name}.{kind}", image.width, kind)
    shutil.copyfile(clean_copy(path, folder), folder / plain.name)
    for left in folder.glob("clean-*"):
        left.unlink()
    return PictureFiles(image.width, image.height, plain, [])


def _resized(image: Image.Image, width: int) -> Image.Image:
    if width == image.width:
        return image
    return image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture turned as EXIF says, with no metadata but its colour profile."""
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
    """Open a picture and read its pixels. Raises BadPicture where it is not one, or too large."""
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
