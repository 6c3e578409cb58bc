"""Reads a CSV file of customers, a line at a time, and checks every line."""

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from feedback_app.customers.addresses import ADDRESS_SHAPE, Address, BadAddress, BadName, clean_name
from feedback_app.customers.models import NameDisplay
from feedback_app.security.crypto import Vault

LINE_BYTES = 64 * 1024
# A cell may contain line breaks; with more lines than this, a closing quotation mark was forgotten.
MOST_LINES_IN_RECORD = 20
DISPLAYS = frozenset(NameDisplay)
COLUMNS = ("email", "name", "name_display")
# The characters that stand for bytes that are not UTF-8 (PEP 383), and for lines that are much too long.
UNREADABLE = re.compile("[\udc80-\udcff]")


class ImportRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The whole file can't be imported; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class CsvRow:
    """A valid line of the file."""

    address: Address
    fingerprint: bytes
    name: str | None
    name_display: NameDisplay


def read_rows(file: BinaryIO, vault: Vault, refuse: Callable[[int, str], None]) -> Iterator[CsvRow]:
    """Yield the file's valid lines; call `refuse` with number and reason for each other. Raises ImportRefused."""
    records = _records(_lines(file))
    try:
        header = [cell.strip().lower() for cell in _cells(next(records, (1, ""))[1])]
    except csv.Error:
        header = []
    if len(header) == 1 and ";" in header[0]:
        message = f"{file.name}: line 1: the cells are separated by semicolons: save it again with commas"
        raise ImportRefused(message)
    if len(set(header)) < len(header):
        message = f"{file.name}: line 1: two columns have the same name"
        raise ImportRefused(message)
    if "email" not in header:
        message = f"{file.name}: line 1: the header needs a column `email` (and can have `name` and `name_display`)"
        raise ImportRefused(message)
    for number, text in records:
        try:
            cells = _cells(text)
            if any(cells):
                yield _row(dict(zip(header, cells, strict=False)), vault, extra=len(cells) > len(header))
        except (csv.Error, ValueError) as error:
            refuse(number, _plain(error))


def _cells(text: str | None) -> list[str]:
    if text is None:
        message = "unexpected end"
        raise csv.Error(message)
    return next(csv.reader((text,), strict=True), [])


def _records(lines: Iterator[str]) -> Iterator[tuple[int, str | None]]:
    """Yield the file's records, each with the number of its first line; None for one with an unclosed quotation mark.

    A line with an odd number of quotation marks continues on the next lines (RFC 4180, section 2), up to a limit. Past
    it, the lines that were read to complete it are read again by themselves, so that one bad line spoils no good ones.
    """
    numbered = enumerate(lines, 1)
    again: deque[tuple[int, str]] = deque()
    while True:
        number, text = again.popleft() if again else next(numbered, (0, ""))
        if not number:
            return
        more: list[tuple[int, str]] = []
        marks = text.count('"')
        while marks % 2 and len(more) < MOST_LINES_IN_RECORD:
            following = again.popleft() if again else next(numbered, None)
            if following is None:
                break
            more.append(following)
            marks += following[1].count('"')
        whole = text + "".join(line for _, line in more)
        if more and (marks % 2 or not _is_record(whole)):
            again.extendleft(reversed(more))
            yield number, None
        else:
            yield number, None if marks % 2 else whole


def _is_record(text: str) -> bool:
    try:
        _cells(text)
    except csv.Error:
        return False
    return True


def _lines(file: BinaryIO) -> Iterator[str]:
    """Yield the file's lines as text. A line that can't be read becomes one that the next step refuses."""
    start = True
    while raw := file.readline(LINE_BYTES):
        if len(raw) == LINE_BYTES and not raw.endswith(b"\n"):
            while (rest := file.readline(LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield "\udcff\n"
            continue
        line = raw.decode("utf-8-sig" if start else "utf-8", errors="surrogateescape")
        if start and "\0" in line:
            message = f"{file.name}: this is not a CSV file in UTF-8: save it again as `CSV UTF-8`"
            raise ImportRefused(message)
        start = False
        yield line.replace("\0", "\udcff")


def _row(cells: dict[str, str], vault: Vault, *, extra: bool) -> CsvRow:
    text = {column: cells.get(column, "").strip() for column in COLUMNS}
    if any(map(UNREADABLE.search, text.values())):
        message = "not UTF-8, or much too long: save the file again as `CSV UTF-8`"
        raise ValueError(message)
    if extra:
        message = "more cells than the header names"
        raise ValueError(message)
    if ADDRESS_SHAPE.search(text["email"]) and text["email"].count("@") > 1:
        message = "more than one address in one cell"
        raise BadAddress(message)
    address = Address.parse(text["email"])
    display = text["name_display"].lower() or NameDisplay.UNDISCLOSED
    if display not in DISPLAYS:
        message = f"name_display is one of {', '.join(NameDisplay)}"
        raise ValueError(message)
    return CsvRow(address, vault.fingerprint(address.key), clean_name(text["name"]), NameDisplay(display))


def _plain(error: Exception) -> str:
    if isinstance(error, (BadAddress, BadName)) or not isinstance(error, csv.Error):
        return str(error)
    if "field larger" in str(error) or "unexpected end" in str(error):
        return "a quotation mark that is never closed"
    return "not a line of CSV"
