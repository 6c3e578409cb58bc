"""What the gate knows of a frame: enough to answer for letters that differ from what it looked at in their slots alone.

The whole look (`gate.check`) reads every letter as if it had never seen one, and takes longer than all the rest. But
the letters of a mailing are the same bytes with other values in a few places. So a frame is looked at once, with values
that are made up: the whole look must pass it, and in every reading of it each slot must stand where a plain value
changes nothing around it. After that a letter is read from its own bytes, not from what made it: all between the slots
must be what was looked at, byte for byte, and each slot hold a value of the plainest kind. The answer is a yes, or to
look at the whole letter; never a no. The law: whatever is answered for here, the whole look passes.
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
from feedback_app.mailing.gate.template import Filling, LetterTemplate, Slot
from feedback_app.patterns.address_patterns import BASE64_LETTERS, ENCLOSING, MOST_READINGS, plain, readings

# In the head each has a line, or a pair of brackets, to itself: what the constant before it ends with, and how the one
# after it begins.
_IN_THE_HEAD = {
    Slot.TO: (re.compile(rb"\r\nTo: \Z"), b"\r\n"),
    Slot.DATE: (re.compile(rb"\r\nDate: \Z"), b"\r\n"),
    Slot.MESSAGE_ID: (re.compile(rb"\r\nMessage-ID: \Z"), b"\r\n"),
    Slot.UNSUBSCRIBE: (re.compile(rb"\r\nList-Unsubscribe: <[!-;=?-~]+/\Z"), b">\r\n"),
}
_IN_THE_PARTS = {Slot.UNSUBSCRIBE, Slot.PREFERENCES, Slot.NAME, Slot.NAME_IN_HTML}
_TOKENS = {Slot.UNSUBSCRIBE, Slot.PREFERENCES}
# What a name may have beside it, beside brackets and blanks: nothing that could make a word, a code (`&…;`, `%…`,
# base64) or an address of the two.
_BESIDE_A_NAME = frozenset("\u2026\u2018\u2019\u201c\u201d\u201e\u00ab\u00bb\u2013\u2014.!?")
_MARK = 8
_LONGEST = 400
_TOKEN = re.compile(rb"[A-Za-z0-9_-]{16,80}")
_OTHER_ALPHABET = bytes.maketrans(b"-_", b"+/")
_DATE = re.compile(rb"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}")
_MESSAGE_ID = re.compile(rb"<[0-9a-f]{32}@[a-z0-9.-]{1,200}>")
_ATOM = rb"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rb"%b(?:\.%b)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*" % (_ATOM, _ATOM))
# What stands before an address in angle brackets.
_NAMED = re.compile(rb'"(?P<quoted>[A-Za-z .\'-]{1,76})" |=\?utf-8\?B\?(?P<encoded>[A-Za-z0-9+/=]{4,76})\?=\r\n ')
_WORD = r"[^\W\d_]+"
_NAME = re.compile(rf"{_WORD}(?:[ .'-]{{1,2}}{_WORD})*\.?")
_WORDS = re.compile(rb"[A-Za-z]{1,15}(?: [A-Za-z]{1,15}){0,3}")
_QUOTED_NAME = re.compile(rb"(?:[A-Za-z .'-]|&#x27;|=[0-9A-F]{2})+")
_LONG_WORD = re.compile(r"[A-Za-z-]{16,}")


class NotPlain(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """Only the whole look can judge the letters of this frame."""


class _Step(NamedTuple):
    """What stands before a slot that was not there yet, and how that behind it begins.

    Where others stand again before it, `before` has gaps for what was found in them, and `again` picks that.
    `is_plain` says what may be in the slot; None for a mailbox.
    """

    before: bytes
    again: Callable[[list[bytes]], bytes | tuple[bytes, ...]] | None
    following: bytes
    is_plain: Callable[[bytes], object] | None


class KnownTemplate:
    """A frame that was looked at, and answers for letters that differ from it in their slots alone.

    There is no way to make one of a frame that was not: making one is looking. Raises NotPlain, and GateRefused where
    the whole look stops it.
    """

    def __init__(self, frame: LetterTemplate, *, sender: str, own: Collection[str]) -> None:
        """Look at a frame twice, with different values, and at where its slots are."""
        self._sender = sender
        self._own = frozenset(own)
        constants, slots = _parted(frame)
        _check_places(constants, slots)
        self._look(frame, _letters(40), _letters(12))
        # At the ends of what is plain: as long as can be, and with a sign that domains have, too.
        self._look(frame, _letters(80), f"{_letters(8)}.{_letters(8)}")
        self._steps = _steps(constants, slots)

    def answers_for(self, data: bytes, *, sender: str, recipient: str, own: Collection[str]) -> bool:
        """Whether these bytes are a letter of the frame to this recipient, with plain values in its slots."""
        if sender != self._sender or (own is not self._own and frozenset(own) != self._own):
            return False
        place = _after_signatures(data)
        found: list[bytes] = []
        for before, again, following, is_plain in self._steps:
            expected = before % again(found) if again else before
            if not data.startswith(expected, place):
                return False
            place += len(expected)
            if not following:
                return place == len(data)
            end = data.find(following, place, place + _LONGEST)
            value = data[place:end]
            if end < 0 or not (is_plain(value) if is_plain else _is_plain_mailbox(value, recipient)):
                return False
            found.append(value)
            place = end
        return False

    def _look(self, frame: LetterTemplate, token: str, name: str) -> None:
        recipient = f"{_letters(12)}@{_letters(12)}.example"
        values = {
            Slot.TO: recipient,
            Slot.DATE: "Wed, 10 Oct 2007 13:41:00 +0000",
            Slot.MESSAGE_ID: f"<{secrets.token_hex(16)}@{_letters(12)}.example>",
            Slot.UNSUBSCRIBE: token,
            Slot.PREFERENCES: token[::-1],
            Slot.NAME: name,
            Slot.NAME_IN_HTML: name[::-1],
        }
        data = frame.filled(Filling(**{slot: value.encode() for slot, value in values.items()}))
        check.check(data, sender=self._sender, recipient=recipient, own=self._own)
        message = BytesParser(policy=compat32).parsebytes(data)
        texts = [check.unfolded(value) for name, value in message.raw_items() if name != "To"]
        texts += map(check.content_of, check.parts_of(message, message["content-type"]))
        for slot in _IN_THE_PARTS:
            if sum(text.count(values[slot]) for text in texts) != frame.pieces.count(slot):
                raise NotPlain
        read = [readings(text) for text in texts]
        if any(len(found) >= MOST_READINGS - 1 for found in read):
            raise NotPlain
        for reading in (reading for found in read for reading in found):
            for slot in _IN_THE_PARTS:
                for start, end in _occurrences(values[slot], reading):
                    if not _stands_alone(slot, reading[:start], reading[end:]):
                        raise NotPlain


def get_to_know(frame: LetterTemplate, *, sender: str, own: Collection[str]) -> KnownTemplate | None:
    """What answers for a frame's letters; None where every one of them needs the whole look."""
    try:
        return KnownTemplate(frame, sender=sender, own=own)
    except (NotPlain, check.GateRefused):
        return None


def _parted(frame: LetterTemplate) -> tuple[list[bytes], list[Slot]]:
    """The pieces of a frame, in turn. Raises NotPlain where two slots touch, or it begins or ends with one."""
    constants = [piece for piece in frame.pieces[::2] if not isinstance(piece, Slot)]
    slots = [piece for piece in frame.pieces[1::2] if isinstance(piece, Slot)]
    if len(constants) + len(slots) != len(frame.pieces) or len(constants) != len(slots) + 1:
        raise NotPlain
    return constants, slots


def _steps(constants: list[bytes], slots: list[Slot]) -> list[_Step]:
    """How to read a letter: one step for each different slot, and one for what is behind the last of these."""
    steps: list[_Step] = []
    known: dict[Slot, int] = {}
    before, again = constants[0], list[int]()
    for slot, constant in zip(slots, constants[1:], strict=True):
        if slot in known:
            if not again:
                before = _gapless(before)
            before += b"%b" + _gapless(constant)
            again.append(known[slot])
            continue
        steps.append(_Step(before, itemgetter(*again) if again else None, constant[:_MARK], _IS_PLAIN.get(slot)))
        known[slot] = len(known)
        before, again = constant, []
    return [*steps, _Step(before, itemgetter(*again) if again else None, b"", None)]


def _gapless(constant: bytes) -> bytes:
    return constant.replace(b"%", b"%%")


def _check_places(constants: list[bytes], slots: list[Slot]) -> None:
    """Raises NotPlain where a slot is not in one of the places that were made for it."""
    in_the_head = True
    for before, slot, after in zip(constants, slots, constants[1:], strict=False):
        in_the_head = in_the_head and b"\r\n\r\n" not in before
        if in_the_head:
            begins, ends = _IN_THE_HEAD.get(slot, (None, b""))
            good = begins is not None and begins.search(before) and after.startswith(ends)
        else:
            good = slot in _IN_THE_PARTS and before.endswith(b"\r\n") and after.startswith(b"=\r\n")
        if not good:
            raise NotPlain


def _letters(number: int) -> str:
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(number))


def _occurrences(value: str, text: str) -> Iterator[tuple[int, int]]:
    return (match.span() for match in re.finditer(re.escape(value), text))


def _stands_alone(slot: Slot, before: str, after: str) -> bool:
    """Whether what is beside a slot stays the same, and means the same, whatever plain value is in it."""
    ends = not after or bool(ENCLOSING.match(after))
    if slot not in _TOKENS:
        begins = not before or bool(ENCLOSING.match(before[-1])) or before[-1] in _BESIDE_A_NAME
        return begins and (ends or after[0] in _BESIDE_A_NAME)
    # The last part of a link. With what is before it, it could be read as base64: so that must be none.
    path = before[len(before.rstrip(BASE64_LETTERS)) :]
    return ends and path.endswith("/") and not _reads_as_text(path[: len(path) // 4 * 4].encode())


def _reads_as_text(code: bytes) -> bool:
    """Whether base64 (RFC 4648, 4 and 5) could be a text in ASCII. Nothing at all could be."""
    return binascii.a2b_base64(code.translate(_OTHER_ALPHABET)).isascii()


def _after_signatures(data: bytes) -> int:
    """Where a letter begins below its signatures (RFC 6376), if these are such as the mailer makes; else at 0."""
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


# A window of letters has one.
@lru_cache(maxsize=4)
def _is_plain_date(value: bytes) -> bool:
    return _DATE.fullmatch(value) is not None


# A reader's name stands in several places of their letter.
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
    named = _NAMED.fullmatch(value, 0, len(value) - len(address) - 2)
    if not named or not value.endswith(b"<%b>" % address):
        return False
    quoted, encoded = named.groups()
    try:
        return _is_plain_name(quoted or base64.b64decode(encoded, validate=True))
    except ValueError:
        return False


@lru_cache(maxsize=4)
def _is_plain_name(raw: bytes) -> bool:
    """Words, and single signs between them; nothing that turns into something else, and nothing like base64."""
    if _WORDS.fullmatch(raw):
        return True
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        return False
    return bool(_NAME.fullmatch(name)) and plain(name) == name and not _LONG_WORD.search(name)


# Of all but a mailbox, which is plain for its recipient only.
_IS_PLAIN: dict[Slot, Callable[[bytes], object]] = {
    Slot.DATE: _is_plain_date,
    Slot.MESSAGE_ID: _MESSAGE_ID.fullmatch,
    Slot.UNSUBSCRIBE: _is_plain_token,
    Slot.PREFERENCES: _is_plain_token,
    Slot.NAME: _is_plain_quoted,
    Slot.NAME_IN_HTML: _is_plain_quoted,
}
