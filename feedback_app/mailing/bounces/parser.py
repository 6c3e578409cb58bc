"""What comes back: delivery reports and complaints, read from the messages that carry them.

A report counts for the letter whose sealed return address it came to, and for no other: whoever makes one up would
have to have had the letter, and then it is their own.
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

# Where a server writes down whom a message was handed to, beside To.
ARRIVED = ("to", "delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "cc")
# RFC 3464, and the same for letters to addresses beyond ASCII (RFC 6533, section 3).
STANDARD, INTERNATIONAL = "message/delivery-status", "message/global-delivery-status"
# RFC 3463: of the permanent ones, what speaks of this letter or this moment, and not of the address.
PASSING = re.compile(r"5\.(?:2\.[23]|3\.\d+|5\.\d+|6\.\d+|7\.\d+)")
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
# What the libraries raise at messages that hold to no standard at all: a charset of no name, a header in a header.
_SENSELESS = (MessageError, LookupError, ValueError, TypeError, AttributeError)

# It logs what it can't read as a traceback; here that is a number.
logging.getLogger("flufl.bounce").addHandler(logging.NullHandler())
logging.getLogger("flufl.bounce").propagate = False


class UnreadableReport(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A message in which nothing can be made out."""


@dataclass(frozen=True, slots=True)
class ReturnedReport:
    """What one message says about one letter of the shop's."""

    sent: ReturnedLetter
    kind: BounceKind
    status: str | None
    digest: bytes


def read_report(message: Message, returns: ReturnAddresses) -> ReturnedReport | None:
    """What a message reports; None where it is no report, or not about a letter of ours. Raises Unreadable."""
    try:
        return _read(message, returns)
    except _SENSELESS as error:
        raise UnreadableReport from error


def _read(message: Message, returns: ReturnAddresses) -> ReturnedReport | None:
    complaint = _feedback(message)
    if complaint:
        # A complaint goes to where the shop takes them; which letter it is about, its parts say (RFC 5965, 3.2).
        sent = returns.read_any(_envelopes(message))
        return ReturnedReport(sent, BounceKind.COMPLAINT, None, _digest(message, sent)) if sent else None
    sent = returns.read_any(str(value) for name in ARRIVED for value in message.get_all(name, []))
    if sent is None:
        return None
    judged = _delivery_status(message) or _odd(message)
    return ReturnedReport(sent, *judged, _digest(message, sent)) if judged else None


def _digest(message: Message, sent: ReturnedLetter) -> bytes:
    """The same for every copy of a message, wherever it lies and whatever was written above it on its way."""
    said = str(message["message-id"] or "").strip() or message.as_string(unixfrom=False)
    return hashlib.sha256(f"{sent.mailing_id}/{sent.customer_id}/{said}".encode("utf-8", "replace")).digest()


def _parts(message: Message, kind: str) -> Iterator[Message]:
    return (part for part in message.walk() if part.get_content_type() == kind)


def _feedback(message: Message) -> bool:
    """Whether it is a complaint (RFC 5965): not every feedback report is one (section 7.3)."""
    for part in _parts(message, "message/feedback-report"):
        said = _text(part)
        found = re.search(r"^feedback-type:\s*([\w-]+)", said, re.IGNORECASE | re.MULTILINE)
        return bool(found and found[1].lower() in {"abuse", "fraud", "other"})
    return False


def _envelopes(message: Message) -> Iterator[str]:
    """Where a complaint names the return address of the letter: in its report, and in the letter itself."""
    for part in _parts(message, "message/feedback-report"):
        found = re.search(r"^original-mail-from:(.*(?:\r?\n[ \t].*)*)", _text(part), re.IGNORECASE | re.MULTILINE)
        if found:
            yield found[1]
    for part in message.walk():
        if part is not message:
            yield from (str(value) for value in part.get_all("return-path", []))
    for part in _parts(message, "text/rfc822-headers"):
        yield from re.findall(r"^return-path:.*(?:\r?\n[ \t].*)*", _text(part), re.IGNORECASE | re.MULTILINE)
    yield from (str(value) for name in ARRIVED for value in message.get_all(name, []))


def _text(part: Message) -> str:
    """A part's words. The parser takes `message/…` for messages: their headers are the words."""
    payload = part.get_payload()
    if isinstance(payload, list):
        return "\n".join(
            f"{name}: {value}" for one in payload if isinstance(one, Message) for name, value in one.items()
        )
    decoded = part.get_payload(decode=True)
    return decoded.decode("utf-8", "replace") if isinstance(decoded, bytes) else str(payload)


def _delivery_status(message: Message) -> tuple[BounceKind, str | None] | None:
    """What a delivery report says: of several recipients, there never is more than one."""
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
    """The groups of fields that a delivery report is made of."""
    payload = part.get_payload()
    found = [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []
    if part.get_content_type() == STANDARD or not found:
        return found
    # The library takes an international one for a letter: the first group for its head, the others for its text; and
    # leaves it encoded.
    data = found[0].as_bytes(unixfrom=False)
    match str(part["content-transfer-encoding"] or "").strip().lower():
        case "base64":
            data = base64.b64decode(data)
        case "quoted-printable":
            data = quopri.decodestring(data)
    return [message_from_bytes(group, policy=compat32) for group in re.split(rb"\r?\n(?:[ \t]*\r?\n)+", data.strip())]


def _odd(message: Message) -> tuple[BounceKind, str | None] | None:
    """What the reports say that follow no standard. Of one that does, its own words have been read."""
    if any(_status_parts(message)):
        return None
    if "from" in message:
        # Plain words: with a byte beyond ASCII in it, the library would stumble over it.
        message.replace_header("from", str(message["from"]))
    passing, failed = all_failures(message)
    if failed:
        return BounceKind.HARD, None
    return (BounceKind.SOFT, None) if passing else None
