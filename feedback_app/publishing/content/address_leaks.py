"""The leak guard: what is published shows no address that its own head does not allow, and never a customer's.

A refusal names file and line, and repeats no address.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from sqlalchemy.orm import Session

from feedback_app.config import Settings
from feedback_app.customers.addresses import Address, BadAddress
from feedback_app.customers.services import find_customer
from feedback_app.images.pictures import RASTER, metadata_texts
from feedback_app.patterns.address_patterns import address_shaped

ALLOW = "allow-address"
TEXTS = frozenset({".md", ".markdown", ".mkd", ".mdown", ".html", ".htm", ".svg", ".xml", ".txt", ".css", ".json"})
FOLDERS = ("posts", "pages", "images")
# What every address has, plain or in an encoding that a reader's browser would undo.
_SUSPECT = re.compile("[@\uff20\ufe6b]|%40|&#|&commat", re.IGNORECASE)
_HEAD = re.compile(r"([\w-]+)[ \t]*:[ \t]*(.*)")


class Leak(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A text would show an address; one line that does not repeat it."""


def published_files(content: Path, *folders: str) -> Iterator[Path]:
    """The files below these folders of the content, or all that are, or become, part of the site; in order."""
    for folder in folders or FOLDERS:
        for path in sorted((content / folder).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path


def is_suspect(text: str) -> bool:
    """Whether there may be an address in a text: one look, before anybody asks the store."""
    return _SUSPECT.search(text) is not None


def find_leaks(files: Iterable[Path], settings: Settings, session: Session) -> list[str]:
    """What must not be published: one line for each place, with file and line."""
    own = settings.own_addresses
    return [problem for path in files for problem in _in_file(path, own, session)]


def allowed_addresses(values: str | Collection[str] | None) -> frozenset[str]:
    """The addresses that a head's `Allow-Address:` names."""
    text = values if isinstance(values, str) else ", ".join(values or ())
    return frozenset(piece for piece in re.split(r"[,;\s]+", text) if piece)


def refuse_shown(html: str, allowed: Collection[str], where: str) -> None:
    """Look at a text as it is shown: Markdown can put together what no line has in it. Raises Leak."""
    if is_suspect(html) and address_shaped(html, allowed):
        message = f"{where}: this shows an address: take it out, or allow it in the head with `Allow-Address:`"
        raise Leak(message)


def _in_file(path: Path, own: frozenset[str], session: Session) -> Iterator[str]:
    kind = path.suffix.lower()
    if kind in RASTER:
        yield from _in_picture(path, own)
    elif kind in TEXTS:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            # Whoever reads it to publish it says what is wrong with it.
            return
        if is_suspect(text):
            yield from _in_text(path, text, own, session)


def _in_text(path: Path, text: str, own: frozenset[str], session: Session) -> Iterator[str]:
    lines = text.splitlines()
    allowing = dict(_allowing(lines))
    for number, addresses in allowing.items():
        if any(_is_customers(address, session) for address in addresses - own):
            yield f"{path}:{number}: the head allows an address that is a customer's: no page shows one"
    allowed = own.union(*allowing.values())
    for number, line in enumerate(lines, 1):
        if number not in allowing and is_suspect(line) and address_shaped(line, allowed):
            yield (
                f"{path}:{number}: an address stands here: take it out, or, if it is nobody's secret, "
                "allow it in the head with `Allow-Address:`"
            )


def _allowing(lines: list[str]) -> Iterator[tuple[int, frozenset[str]]]:
    for number, line in enumerate(lines, 1):
        found = _HEAD.match(line)
        if not line.strip() or not (found or line[0].isspace()):
            return
        if found and found[1].lower() == ALLOW:
            yield number, allowed_addresses(found[2])


def _is_customers(address: str, session: Session) -> bool:
    try:
        return find_customer(session, Address.parse(address)) is not None
    except BadAddress:
        return False


def _in_picture(path: Path, own: frozenset[str]) -> Iterator[str]:
    if any(is_suspect(text) and address_shaped(text, own) for text in metadata_texts(path)):
        yield f"{path}: an address stands in what the camera or the editor wrote into this picture: take it out there"
