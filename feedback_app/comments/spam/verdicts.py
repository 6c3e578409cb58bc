"""What makes a comment wait: signs noticed by the form, the words themselves, and what was said before.

Nothing is thrown away by a verdict. Each reason is a line for the owner, kept with the comment; those that a browser
can settle by work (`PROVABLE`) are gone once it has.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from html import unescape

from sqlalchemy import bindparam, select

from feedback_app.comments.markup.sanitizer import UNSEEN, has_address, shows_address, visible_text
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.config import Moderation
from feedback_app.db.prepared import AnyNumber, Driver, Prepared

SHORTEST_REPEAT = 20
REPEAT_TIME = timedelta(days=7)

# The first comment of the last days that says the same.
SAID_BEFORE = (
    select(Comment.id)
    .where(
        Comment.repeat_hash == bindparam("said", type_=Comment.repeat_hash.type),
        Comment.created_at > bindparam("since", type_=Comment.created_at.type),
    )
    .order_by(Comment.id)
    .limit(1)
)
_APPROVED_AMONG = Prepared(
    select(Comment.id).where(AnyNumber(Comment.id, "numbers"), Comment.status == CommentStatus.APPROVED).limit(1)
)
_LINK = re.compile(r'<a href="(?P<url>[^"]*)"[^>]*>(?P<words>.*?)</a>', re.DOTALL)
_URL = re.compile(r"https?://")
EVERY_ONE = "every comment waits (moderation is `all`)"
FIRST_ONE = "the first comment from this browser"
ADDRESS_IN_TEXT = "there is an address in it"
ADDRESS_AS_NAME = "the name is an address"
TRAPPED = "a field that nobody can see was filled in"
TOO_FAST = "sent faster than anybody types"
NO_TIME = "sent without the time at which its form was opened"
CROWDED = "many comments from the same network"
CHANGED = "changed after it was approved"
PROVEN = "the browser has worked for it"
SHOWN = "shown at once"
REPEATED = "the same words as comment"
SENT_BEFORE = "sent before, and turned down or taken back since"
PROVABLE = frozenset({TOO_FAST, NO_TIME, CROWDED})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the shop lets through: its moderation, its words, and how many links a comment may have."""

    moderation: Moderation = Moderation.FIRST
    words: tuple[str, ...] = ()
    most_links: int = 2


@dataclass(frozen=True, slots=True)
class Signs:
    """What was noticed while a comment came in, besides its words; `reasons` are the form's and the services' own.

    `earlier` are the comments that the same browser sent before.
    """

    earlier: Sequence[int] = ()
    reasons: Sequence[str] = ()


def repeat_hash(text: str) -> bytes | None:
    """By what the same words are found again, whatever their case and blanks; None for what many people say."""
    plain = " ".join(text.casefold().split())
    return hashlib.sha256(plain.encode()).digest()[:16] if len(plain) >= SHORTEST_REPEAT else None


def judge(driver: Driver, words: Sequence[str], *, before: int | None, rules: Rules, signs: Signs) -> list[str]:
    """Every reason for which a new comment waits, the weightiest first; none when it can be shown at once.

    `words` are the reasons in its words, `before` is a comment of the last days (`REPEAT_TIME`) that says the same.
    """
    reasons = list(words)
    if before is not None:
        reasons.append(f"{REPEATED} {before}")
    reasons += signs.reasons
    if rules.moderation is Moderation.ALL:
        reasons.append(EVERY_ONE)
    elif rules.moderation is Moderation.FIRST and not _has_been_approved(driver, signs.earlier):
        reasons.append(FIRST_ONE)
    return reasons


def judge_words(*, author: str, text: str, html: str, rules: Rules) -> list[str]:
    """What is to be said against the words alone."""
    reasons = []
    if shows_address(text, html):
        reasons.append(ADDRESS_IN_TEXT)
    if has_address(author):
        reasons.append(ADDRESS_AS_NAME)
    links = count_links(html)
    if links > rules.most_links:
        reasons.append(f"{links} links")
    if rules.words:
        said = _as_read(f"{author}\n{text}") + _as_read(f"{author}\n{visible_text(html)}")
        reasons += [f"on the shop's list: {word}" for word in rules.words if _says(said, word)]
    return reasons


def count_links(html: str) -> int:
    """How many links there are in a comment's HTML, those that are only written out among them.

    A link whose words are its own address is one.
    """
    if ":" not in html and html.isascii():
        # As most have none.
        return 0
    rest = _LINK.sub(lambda link: " " if _is_its_own_name(link) else link["words"], html)
    return html.count("<a href=") + max(len(_URL.findall(text)) for text in _as_read(visible_text(rest)))


def _is_its_own_name(link: re.Match[str]) -> bool:
    # There is a colon in every address that a link may have.
    return ":" in link["words"] and visible_text(link["words"]).rstrip("/") == unescape(link["url"]).rstrip("/")


def settled_by_work(reasons: Sequence[str]) -> bool:
    """Whether a browser's work can settle all that is said against a comment."""
    return bool(reasons) and PROVABLE.issuperset(reasons)


def _as_read(text: str) -> list[str]:
    """A text as it looks: letters without disguise and case; what is invisible is left out, or parts words."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    if plain.isascii():
        return [_with_single_blanks(plain)]
    unseen = {ord(letter) for letter in plain if unicodedata.category(letter) == "Cf" or letter in UNSEEN}
    return [_with_single_blanks(plain.translate(dict.fromkeys(unseen, instead))) for instead in ("", " ")]


def _with_single_blanks(text: str) -> str:
    return " ".join(text.split())


def _says(texts: Sequence[str], word: str) -> bool:
    [plain, *_] = _as_read(word)
    found = re.compile(rf"(?<!\w){re.escape(plain)}(?!\w)")
    return any(found.search(text) for text in texts)


def _has_been_approved(driver: Driver, earlier: Sequence[int]) -> bool:
    return bool(earlier) and bool(_APPROVED_AMONG.run(driver, numbers=list(earlier)))
