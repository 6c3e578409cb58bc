"""Parses delivery reports and complaints.

A report counts only for the letter whose encrypted return address it came to. To forge one, a person would need that
letter, and then they can only block their own address.
"""

import base64
import hashlib
import logging
import quopri
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import MessageError
from email.message import Message
from email.policy import compat32

from flufl.bounce import all_failures

from feedback_app.mailing.models import BounceKind
from feedback_app.mailing.return_addresses import ReturnAddresses, ReturnedLetter

# The headers in which servers note the address that a message arrived for, and To.
ARRIVAL_HEADERS = ("to", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "cc")
# RFC 3464, and the same for letters to non-ASCII addresses (RFC 6533, 3).
STANDARD, INTERNATIONAL = "message/delivery-status", "message/global-delivery-status"
# RFC 3463: the permanent status codes that are about this letter or this moment, not about the address.
PASSING = re.compile(r"5\.(?:2\.[23]|3\.\d+|5\.\d+|6\.\d+|7\.\d+)")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
# What the libraries raise for messages that hold to no standard: an unknown charset, a header within a header.
_PARSER_ERRORS = (MessageError, LookupError, ValueError, TypeError, AttributeError)

# The library logs a traceback for what it can't read; the command reports a number instead.
logging.getLogger("flufl.bounce").addHandler(logging.NullHandler())
logging.getLogger("flufl.bounce").propagate = False


class UnreadableReport(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A message that can't be parsed."""


@dataclass(frozen=True, slots=True)
class BounceReport:
    """What one message reports about one of the shop's letters."""

    letter: ReturnedLetter
    kind: BounceKind
    status: str | None
    digest: bytes


def read_report(message: Message, returns: ReturnAddresses) -> BounceReport | None:
    """Return what a message reports; None if it reports nothing about our letters. Raises UnreadableReport."""
    try:
        return _read(message, returns)
    except _PARSER_ERRORS as error:
        raise UnreadableReport from error


def _read(message: Message, returns: ReturnAddresses) -> BounceReport | None:
    if _is_complaint(message):
        # A complaint may arrive at any address of the shop; its parts say which letter it is about (RFC 5965, 3.2).
        letter = returns.read_any(_addresses_in_complaint(message))
        return BounceReport(letter, BounceKind.COMPLAINT, None, _digest(message, letter)) if letter else None
    letter = returns.read_any(str(value) for name in ARRIVAL_HEADERS for value in message.get_all(name, []))
    if letter is None:
        return None
    found = _delivery_status(message) or _nonstandard_status(message)
    return BounceReport(letter, *found, _digest(message, letter)) if found else None


def _digest(message: Message, letter: ReturnedLetter) -> bytes:
    """Return a hash that is the same for every copy of a message, whatever headers were added on its way."""
    name = str(message["message-id"] or "").strip() or message.as_string(unixfrom=False)
    return hashlib.sha256(f"{letter.mailing_id}/{letter.customer_id}/{name}".encode("utf-8", "replace")).digest()


def _parts(message: Message, kind: str) -> Iterator[Message]:
    return (part for part in message.walk() if part.get_content_type() == kind)


def _is_complaint(message: Message) -> bool:
    """Return whether a message is a complaint (RFC 5965). Not every feedback report is one (section 7.3)."""
    for part in _parts(message, "message/feedback-report"):
        found = re.search(r"^feedback-type:\s*([\w-]+)", _text(part), re.IGNORECASE | re.MULTILINE)
        return bool(found and found[1].lower() in {"abuse", "fraud", "other"})
    return False


def _addresses_in_complaint(message: Message) -> Iterator[str]:
    """Yield where a complaint may name the letter's return address: its report, the letter in it, its own headers."""
    for part in _parts(message, "message/feedback-report"):
        found = re.search(r"^original-mail-from:(.*(?:\r?\n[ \t].*)*)", _text(part), re.IGNORECASE | re.MULTILINE)
        if found:
            yield found[1]
    for part in message.walk():
        if part is not message:
            yield from (str(value) for value in part.get_all("return-path", []))
    for part in _parts(message, "text/rfc822-headers"):
        yield from re.findall(r"^return-path:.*(?:\r?\n[ \t].*)*", _text(part), re.IGNORECASE | re.MULTILINE)
    yield from (str(value) for name in ARRIVAL_HEADERS for value in message.get_all(name, []))


def _text(part: Message) -> str:
    """Return a part's text. The parser takes `message/…` parts for messages, whose headers are the text."""
    payload = part.get_payload()
    if isinstance(payload, list):
        return "\n".join(
            f"{name}: {value}" for inner in payload if isinstance(inner, Message) for name, value in inner.items()
        )
    decoded = part.get_payload(decode=True)
    return decoded.decode("utf-8", "replace") if isinstance(decoded, bytes) else str(payload)


def _delivery_status(message: Message) -> tuple[BounceKind, str | None] | None:
    """Return the kind and status code of a delivery report. It has one recipient, as every letter has."""
    for part in _status_parts(message):
        for group in _groups(part):
            if not group["action"]:
                continue
            action = str(group["action"]).strip().lower()
            found = _STATUS.search(str(group["status"] or ""))
            status = found.group() if found else None
            if action == "failed":
                passing = status and (status.startswith("4") or PASSING.fullmatch(status))
                return (BounceKind.SOFT if passing else BounceKind.HARD), status
            if action == "delayed":
                return BounceKind.SOFT, status
    return None


def _status_parts(message: Message) -> Iterator[Message]:
    return (part for kind in (STANDARD, INTERNATIONAL) for part in _parts(message, kind))


def _groups(part: Message) -> list[Message]:
    """Return the groups of fields in a delivery report (RFC 3464, 2.1)."""
    payload = part.get_payload()
    found = [group for group in payload if isinstance(group, Message)] if isinstance(payload, list) else []
    if part.get_content_type() == STANDARD or not found:
        return found
    # The library takes an international report for a message, with the first group as its head and the others as its
    # body, and leaves it encoded.
    data = found[0].as_bytes(unixfrom=False)
    match str(part["content-transfer-encoding"] or "").strip().lower():
        case "base64":
            data = base64.b64decode(data)
        case "quoted-printable":
            data = quopri.decodestring(data)
    return [message_from_bytes(group, policy=compat32) for group in re.split(rb"\r?\n(?:[ \t]*\r?\n)+", data.strip())]


def _nonstandard_status(message: Message) -> tuple[BounceKind, str | None] | None:
    """Return what a report says that follows no standard; None for a standard one, which was read before."""
    if any(_status_parts(message)):
        return None
    if "from" in message:
        # As str: with a non-ASCII byte in it, it is a header object, at which the library fails.
        message.replace_header("from", str(message["from"]))
    passing, failed = all_failures(message)
    if failed:
        return BounceKind.HARD, None
    return (BounceKind.SOFT, None) if passing else None
