"""The gate's fast path: answers for letters that differ from a checked template only in their slots.

The full check (`gate.check`) reads every letter as if it had never seen one, and takes longer than all the rest of
making and sending. But the letters of a mailing are the same bytes with other values in a few slots. So a template is
checked once, with made-up values: it must pass the full check, and in every reading of it each slot must stand where a
plain value changes nothing around it. After that a letter is checked from its own bytes, not from what made it: all
bytes between the slots must be the template's, and each slot must hold a plain value.

The answer is "as the template", or "look closely" (the full check); never a refusal. The law: the full check passes
every letter that the fast path answers for.
"""

import base64
import binascii
import re
import secrets
import string
from collections.abc import Callable, Collection, Iterator
from email.parser import BytesParser
from email.policy import compat32
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from feedback_app.mailing.gate import check
from feedback_app.mailing.gate.template import LetterTemplate, Slot, SlotValues
from feedback_app.patterns.address_patterns import BASE64_LETTERS, ENCLOSING, MOST_READINGS, plain, readings

# In the head each slot has a line, or a pair of brackets, to itself: how the constant before it must end, and how the
# constant after it must begin.
_HEAD_SLOTS = {
    Slot.TO: (re.compile(rb"\r\nTo: \Z"), b"\r\n"),
    Slot.DATE: (re.compile(rb"\r\nDate: \Z"), b"\r\n"),
    Slot.MESSAGE_ID: (re.compile(rb"\r\nMessage-ID: \Z"), b"\r\n"),
    Slot.UNSUBSCRIBE: (re.compile(rb"\r\nList-Unsubscribe: <[!-;=?-~]+/\Z"), b">\r\n"),
}
_PART_SLOTS = {Slot.UNSUBSCRIBE, Slot.PREFERENCES, Slot.NAME, Slot.NAME_IN_HTML}
_TOKEN_SLOTS = {Slot.UNSUBSCRIBE, Slot.PREFERENCES}
# The signs that may stand next to a name, besides brackets and blanks. None of them can turn a name into another word,
# a code (`&…;`, `%…`, base64) or an address.
_NEXT_TO_NAME = frozenset("\u2026\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014.!?")
# How many bytes of the following constant mark the end of a slot.
_END_MARK = 8
_LONGEST_VALUE = 400
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{16,80}")
_OTHER_ALPHABET = bytes.maketrans(b"-_", b"+/")
_DATE = re.compile(rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}")
_MESSAGE_ID = re.compile(rb"<[0-9a-f]{32}@[a-z0-9.-]{1,200}>")
_ATOM = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rb"%b(?:\.%b)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*" % (_ATOM, _ATOM))
# A display name before an address in angle brackets.
_DISPLAY_NAME = re.compile(
    rb'"(?P<quoted>[A-Za-z .\'-]{1,76})" |=\?utf-8\?B\?(?P<encoded>[A-Za-z0-9+/=]{4,76})\?=\r\n '
)
_WORD = r"[^\W\d_]+"
_NAME = re.compile(rf"{_WORD}(?:[ .'-]{{1,2}}{_WORD})*\.?")
_WORDS = re.compile(rb"[A-Za-z]{1,15}(?: [A-Za-z]{1,15}){0,3}")
_QUOTED_NAME = re.compile(rb"(?:[A-Za-z .'-]|&#x27;|=[0-9A-F]{2})+")
_LONG_WORD = re.compile(r"[A-Za-z-]{16,}")


class NotPlain(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """Letters of this template need the full check."""


class _Step(NamedTuple):
    """How to read a letter up to and including a slot that has not occurred before.

    `before` are the constant bytes in front of the slot. If slots that have already occurred are repeated there,
    `before` has `%b` for each, and `repeated` picks their values from those found so far. `following` is how the
    constant after the slot begins. `is_plain` checks the slot's value; it is None for a mailbox.
    """

    before: bytes
    repeated: Callable[[list[bytes]], bytes | tuple[bytes, ...]] | None
    following: bytes
    is_plain: Callable[[bytes], object] | None


class CheckedTemplate:
    """A template that has passed the full check, and answers for letters that differ from it only in their slots.

    Making one checks the template; there is no other way to get one. Raises NotPlain, and GateRefused if the full
    check refuses the template.
    """

    def __init__(self, template: LetterTemplate, *, sender: str, own: Collection[str]) -> None:
        """Check a template twice, with different values, and where its slots are."""
        self._sender = sender
        self._own = frozenset(own)
        constants, slots = _constants_and_slots(template)
        _check_positions(constants, slots)
        self._check(template, _random_letters(40), _random_letters(12))
        # The longest plain token, and a name with a dot in it, as domains have.
        self._check(template, _random_letters(80), f"{_random_letters(8)}.{_random_letters(8)}")
        self._steps = _steps(constants, slots)

    def answers_for(self, data: bytes, *, sender: str, recipient: str, own: Collection[str]) -> bool:
        """Return True for "as the template", False for "look closely".

        True: these bytes are a letter of the template to this recipient, with plain values in its slots.
        """
        if sender != self._sender or (own is not self._own and frozenset(own) != self._own):
            return False
        start = _end_of_signatures(data)
        values: list[bytes] = []
        for before, repeated, following, is_plain in self._steps:
            expected = before % repeated(values) if repeated else before
            if not data.startswith(expected, start):
                return False
            start += len(expected)
            if not following:
                return start == len(data)
            end = data.find(following, start, start + _LONGEST_VALUE)
            value = data[start:end]
            if end < 0 or not (is_plain(value) if is_plain else _is_plain_mailbox(value, recipient)):
                return False
            values.append(value)
            start = end
        return False

    def _check(self, template: LetterTemplate, token: str, name: str) -> None:
        recipient = f"{_random_letters(12)}@{_random_letters(12)}.example"
        values = {
            Slot.TO: recipient,
            Slot.DATE: "Wed, 10 Oct 2007 13:41:00 +0000",
            Slot.MESSAGE_ID: f"<{secrets.token_hex(16)}@{_random_letters(12)}.example>",
            Slot.UNSUBSCRIBE: token,
            Slot.PREFERENCES: token[::-1],
            Slot.NAME: name,
            Slot.NAME_IN_HTML: name[::-1],
        }
        data = template.fill(SlotValues(**{slot: value.encode() for slot, value in values.items()}))
        check.check(data, sender=self._sender, recipient=recipient, own=self._own)
        message = BytesParser(policy=compat32).parsebytes(data)
        texts = [check.unfolded(value) for name, value in message.raw_items() if name != "To"]
        texts += map(check.content_of, check.parts_of(message, message["content-type"]))
        # Every slot must be readable as itself: a value that is read in another way would not be seen below.
        for slot in _PART_SLOTS:
            if sum(text.count(values[slot]) for text in texts) != template.pieces.count(slot):
                raise NotPlain
        readings_of_texts = [readings(text) for text in texts]
        if any(len(found) >= MOST_READINGS - 1 for found in readings_of_texts):
            raise NotPlain
        for reading in (reading for found in readings_of_texts for reading in found):
            for slot in _PART_SLOTS:
                for start, end in _occurrences(values[slot], reading):
                    if not _stands_alone(slot, reading[:start], reading[end:]):
                        raise NotPlain


def check_template(template: LetterTemplate, *, sender: str, own: Collection[str]) -> CheckedTemplate | None:
    """Return what answers for a template's letters; None if each of them needs the full check."""
    try:
        return CheckedTemplate(template, sender=sender, own=own)
    except (NotPlain, check.GateRefused):
        return None


def _constants_and_slots(template: LetterTemplate) -> tuple[list[bytes], list[Slot]]:
    """Return a template's constants and the slots between them.

    Raises NotPlain if two slots touch, or the template begins or ends with one.
    """
    constants = [piece for piece in template.pieces[::2] if not isinstance(piece, Slot)]
    slots = [piece for piece in template.pieces[1::2] if isinstance(piece, Slot)]
    if len(constants) + len(slots) != len(template.pieces) or len(constants) != len(slots) + 1:
        raise NotPlain
    return constants, slots


def _steps(constants: list[bytes], slots: list[Slot]) -> list[_Step]:
    """Return how to read a letter: one step for each different slot, and one for what follows the last of these."""
    steps: list[_Step] = []
    numbers: dict[Slot, int] = {}
    before, repeated = constants[0], list[int]()
    for slot, constant in zip(slots, constants[1:], strict=True):
        if slot in numbers:
            if not repeated:
                before = _escape_percent(before)
            before += b"%b" + _escape_percent(constant)
            repeated.append(numbers[slot])
            continue
        pick = itemgetter(*repeated) if repeated else None
        steps.append(_Step(before, pick, constant[:_END_MARK], _IS_PLAIN.get(slot)))
        numbers[slot] = len(numbers)
        before, repeated = constant, []
    return [*steps, _Step(before, itemgetter(*repeated) if repeated else None, b"", None)]


def _escape_percent(constant: bytes) -> bytes:
    return constant.replace(b"%", b"%%")


def _check_positions(constants: list[bytes], slots: list[Slot]) -> None:
    """Raise NotPlain if a slot is not in one of the positions that were made for it."""
    in_head = True
    for before, slot, after in zip(constants, slots, constants[1:], strict=False):
        in_head = in_head and b"\r\n\r\n" not in before
        if in_head:
            ending, beginning = _HEAD_SLOTS.get(slot, (None, b""))
            good = ending is not None and ending.search(before) and after.startswith(beginning)
        else:
            good = slot in _PART_SLOTS and before.endswith(b"\r\n") and after.startswith(b"=\r\n")
        if not good:
            raise NotPlain


def _random_letters(number: int) -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(number))


def _occurrences(value: str, text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in re.finditer(re.escape(value), text))


def _stands_alone(slot: Slot, before: str, after: str) -> bool:
    """Return whether the text around a slot stays the same and means the same, whatever plain value is in the slot."""
    ends = not after or bool(ENCLOSING.match(after))
    if slot not in _TOKEN_SLOTS:
        begins = not before or bool(ENCLOSING.match(before[-1])) or before[-1] in _NEXT_TO_NAME
        return begins and (ends or after[0] in _NEXT_TO_NAME)
    # A token is the last part of a link. Together with the path it could be read as base64, so the path must be none.
    path = before[len(before.rstrip(BASE64_LETTERS)) :]
    return ends and path.endswith("/") and not _reads_as_text(path[: len(path) // 4 * 4].encode())


def _reads_as_text(code: bytes) -> bool:
    """Return whether base64 (RFC 4648, 4 and 5) could be ASCII text. Empty base64 could."""
    return binascii.a2b_base64(code.translate(_OTHER_ALPHABET)).isascii()


def _end_of_signatures(data: bytes) -> int:
    """Return where a letter's own headers begin, if the mailer made the signatures above them (RFC 6376); else 0."""
    if not data.startswith(b"DKIM-Signature:"):
        return 0
    start = data.find(b"\r\nFrom: ") + 2
    head = data[: start - 2].decode("ascii", "surrogateescape")
    headers = [line.partition(":") for line in re.split(r"\r\n(?![ \t])", head)]
    try:
        check.check_lines(data[:start])
        below = check.check_signatures([(name.lower(), check.unfolded(value)) for name, _, value in headers])
    except check.GateRefused:
        return 0
    return 0 if below else start


def _is_plain_token(value: bytes) -> bool:
    return bool(_TOKEN.fullmatch(value)) and len(value) % 4 == 0 and not _reads_as_text(value)


# A batch of letters has one date.
@lru_cache(maxsize=4)
def _is_plain_date(value: bytes) -> bool:
    return _DATE.fullmatch(value) is not None


# A recipient's name occurs several times in their letter.
@lru_cache(maxsize=4)
def _is_plain_quoted(value: bytes) -> bool:
    if _WORDS.fullmatch(value):
        return True
    if not _QUOTED_NAME.fullmatch(value):
        return False
    return _is_plain_name(binascii.a2b_qp(value).replace(b"&#x27;", b"'"))


def _is_plain_mailbox(value: bytes, recipient: str) -> bool:
    if not recipient.isascii():
        return False
    address = recipient.encode()
    if not _ADDRESS.fullmatch(address):
        return False
    if value == address:
        return True
    display_name = _DISPLAY_NAME.fullmatch(value, 0, len(value) - len(address) - 2)
    if not display_name or not value.endswith(b"<%b>" % address):
        return False
    quoted, encoded = display_name.groups()
    try:
        return _is_plain_name(quoted or base64.b64decode(encoded, validate=True))
    except ValueError:
        return False


@lru_cache(maxsize=4)
def _is_plain_name(raw: bytes) -> bool:
    """Return whether a name is words with single signs between them: it decodes to nothing else, and is no base64."""
    if _WORDS.fullmatch(raw):
        return True
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return False
    return bool(_NAME.fullmatch(name)) and plain(name) == name and not _LONG_WORD.search(name)


# For all slots but a mailbox, whose value must be the recipient's.
_IS_PLAIN: dict[Slot, Callable[[bytes], object]] = {
    Slot.DATE: _is_plain_date,
    Slot.MESSAGE_ID: _MESSAGE_ID.fullmatch,
    Slot.UNSUBSCRIBE: _is_plain_token,
    Slot.PREFERENCES: _is_plain_token,
    Slot.NAME: _is_plain_quoted,
    Slot.NAME_IN_HTML: _is_plain_quoted,
}
