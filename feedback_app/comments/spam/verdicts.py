"""Verdicts: whether a comment is shown or waits for the owner, and why.

A verdict throws nothing away. Each reason is a line for the owner, kept with the comment; those that work by the
reader's browser can settle (`PROVABLE`) are gone once it has worked.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import unescape

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.comments.markup.sanitizer import UNSEEN, has_address, shows_address, visible_text
from feedback_app.comments.models import Comment, CommentStatus
from feedback_app.config import Moderation

SHORTEST_REPEAT = 20
REPEAT_TIME = timedelta(days=7)

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
    """The shop's rules: its moderation setting, its list of words, and how many links a comment may have."""

    moderation: Moderation = Moderation.FIRST
    words: tuple[str, ...] = ()
    most_links: int = 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about a comment besides its text.

    `reasons` are the findings of the form's checks and of the spam service; `earlier` are the numbers of the comments
    that the same browser sent before.
    """

    earlier: Sequence[int] = ()
    reasons: Sequence[str] = ()


NOTHING_KNOWN = Evidence()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status that a comment gets, and every reason against it, the weightiest first."""

    status: CommentStatus
    reasons: list[str]

    @property
    def summary(self) -> str:
        """The verdict as the audit log says it."""
        if self.status is CommentStatus.APPROVED:
            return SHOWN
        return f"waits: {'; '.join(self.reasons)}" if self.reasons else "waits"


def judge_new(
    session: Session,
    *,
    text_reasons: Sequence[str],
    repeated: int | None,
    resent: bool,
    rules: Rules,
    evidence: Evidence,
) -> Verdict:
    """Judge a new comment: it is shown only if nothing speaks against it.

    `text_reasons` are the findings of `judge_text`, `repeated` is an earlier comment with the same words, `resent` says
    that the same form was sent before and its comment is gone.
    """
    reasons = [*text_reasons, *_repeats(repeated), *evidence.reasons]
    if rules.moderation is Moderation.ALL:
        reasons.append(EVERY_ONE)
    elif rules.moderation is Moderation.FIRST and not _has_been_approved(session, evidence.earlier):
        reasons.append(FIRST_ONE)
    if resent:
        reasons.append(SENT_BEFORE)
    return Verdict(CommentStatus.PENDING if reasons else CommentStatus.APPROVED, reasons)


def judge_edit(
    comment: Comment,
    *,
    text_reasons: Sequence[str],
    repeated: int | None,
    rules: Rules,
    evidence: Evidence,
) -> Verdict:
    """Judge its author's new text for a comment.

    An approved comment waits again if something speaks against the new text, or if every comment waits. A comment that
    waits goes on waiting, with the new reasons added to its own.
    """
    reasons = [*text_reasons, *_repeats(repeated), *evidence.reasons]
    if comment.status is CommentStatus.APPROVED:
        if reasons or rules.moderation is Moderation.ALL:
            return Verdict(CommentStatus.PENDING, [*reasons, CHANGED])
        return Verdict(CommentStatus.APPROVED, list(comment.reasons))
    return Verdict(comment.status, [*(reason for reason in comment.reasons if reason not in reasons), *reasons])


def judge_text(*, author: str, text: str, html: str, rules: Rules) -> list[str]:
    """Return what speaks against a comment's name and text alone."""
    reasons = []
    if shows_address(text, html):
        reasons.append(ADDRESS_IN_TEXT)
    if has_address(author):
        reasons.append(ADDRESS_AS_NAME)
    links = count_links(html)
    if links > rules.most_links:
        reasons.append(f"{links} links")
    if rules.words:
        readings = _readings(f"{author}\n{text}") + _readings(f"{author}\n{visible_text(html)}")
        reasons += [f"on the shop's list: {word}" for word in rules.words if _contains(readings, word)]
    return reasons


def repeat_hash(text: str) -> bytes | None:
    """Return the hash used to detect repeated comments, whatever their case and blanks.

    None for texts so short that many people write them.
    """
    plain = " ".join(text.casefold().split())
    return hashlib.sha256(plain.encode()).digest()[:16] if len(plain) >= SHORTEST_REPEAT else None


def find_repeat(
    session: Session, text_hash: bytes | None, *, now: datetime, besides: Comment | None = None
) -> int | None:
    """Return the number of the first comment of the last week (`REPEAT_TIME`) with the same words."""
    if text_hash is None:
        return None
    query = select(Comment.id).where(Comment.repeat_hash == text_hash, Comment.created_at > now - REPEAT_TIME)
    if besides is not None:
        query = query.where(Comment.id != besides.id)
    return session.scalar(query.order_by(Comment.id).limit(1))


def count_links(html: str) -> int:
    """Count the links in a comment's HTML, those included that are only written out.

    A link whose text is its own address counts once.
    """
    rest = _LINK.sub(lambda link: " " if _shows_its_address(link) else link["words"], html)
    return html.count("<a href=") + max(len(_URL.findall(text)) for text in _readings(visible_text(rest)))


def settled_by_work(reasons: Sequence[str]) -> bool:
    """Return whether work by the browser can settle everything that speaks against a comment."""
    return bool(reasons) and PROVABLE.issuperset(reasons)


def _repeats(repeated: int | None) -> list[str]:
    return [] if repeated is None else [f"{REPEATED} {repeated}"]


def _shows_its_address(link: re.Match[str]) -> bool:
    return visible_text(link["words"]).rstrip("/") == unescape(link["url"]).rstrip("/")


def _readings(text: str) -> list[str]:
    """Return a text as it reads without disguise and case: invisible characters left out, or taken as blanks."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    unseen = {ord(letter) for letter in plain if unicodedata.category(letter) == "Cf" or letter in UNSEEN}
    return [" ".join(plain.translate(dict.fromkeys(unseen, instead)).split()) for instead in ("", " ")]


def _contains(texts: Sequence[str], word: str) -> bool:
    [plain, *_] = _readings(word)
    found = re.compile(rf"(?<!\w){re.escape(plain)}(?!\w)")
    return any(found.search(text) for text in texts)


def _has_been_approved(session: Session, earlier: Sequence[int]) -> bool:
    if not earlier:
        return False
    approved = select(Comment.id).where(Comment.id.in_(earlier), Comment.status == CommentStatus.APPROVED).limit(1)
    return session.scalar(approved) is not None
