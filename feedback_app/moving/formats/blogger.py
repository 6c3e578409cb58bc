"""Blogger's exports: the Atom file of its old settings page, and the `feed.atom` of today's Takeout.

Both are one feed of everything; what an entry is stands in a category there, in an element of its own here. A comment
names its post and, where it is an answer, the comment it answers, by their tags.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import IO

from feedback_app.moving.formats.records import (
    BodyKind,
    ForeignComment,
    ForeignPost,
    ForeignStatus,
    ForeignThread,
    Item,
    LeftBehind,
    Reading,
    Skipped,
    moment_of,
)
from feedback_app.moving.formats.xml_stream import Element, pieces, text_of

ATOM = "{http://www.w3.org/2005/Atom}"
THREADING = "{http://purl.org/syndication/thread/1.0}"
CONTROL = ("{http://purl.org/atom/app#}", "{http://www.w3.org/2007/app}")
TAKEOUT = "http://schemas.google.com/blogger/2018"
B = f"{{{TAKEOUT}}}"
KIND = "http://schemas.google.com/g/2005#kind"
KINDS = "http://schemas.google.com/blogger/2008/kind#"
LABELS = "http://www.blogger.com/atom/ns#"
PICTURE = "{http://schemas.google.com/g/2005}image"
# The old export names what is answered only by where it can be fetched: /feeds/BLOG/POST/comments/default/COMMENT
ANSWERED = re.compile(r"/feeds/(\d+)/\d+/comments/default/(\d+)")


def read(file: IO[bytes], name: str, reading: Reading) -> Iterator[Item]:
    """Everything in an old export or in a Takeout."""
    elements = pieces(file, name, {f"{ATOM}entry"})
    root = next(elements)
    takeout = TAKEOUT in root.nsmap.values()
    for entry in elements:
        yield from (_today if takeout else _old)(entry, reading)


def _old(entry: Element, reading: Reading) -> Iterator[Item]:
    number = text_of(entry, f"{ATOM}id")
    terms = [(one.get("scheme"), one.get("term") or "") for one in entry.iterfind(f"{ATOM}category")]
    kind = next((term.removeprefix(KINDS) for scheme, term in terms if scheme == KIND), "")
    link = next((one.get("href") or "" for one in entry.iterfind(f"{ATOM}link[@rel='alternate']")), "")
    draft = any(text_of(entry, f"{app}control/{app}draft") == "yes" for app in CONTROL)
    if kind == "post":
        labels = tuple(term for scheme, term in terms if scheme == LABELS)
        yield from _post(entry, number, link.partition("?")[0], labels, draft=draft)
    elif kind == "comment":
        to = entry.find(f"{THREADING}in-reply-to")
        related = next((one.get("href") or "" for one in entry.iterfind(f"{ATOM}link[@rel='related']")), "")
        found = ANSWERED.search(related)
        parent = f"tag:blogger.com,1999:blog-{found[1]}.post-{found[2]}" if found else None
        post = "" if to is None else to.get("ref") or ""
        # A comment that is a draft there waits, or is spam: the file does not say which.
        yield _comment(
            entry, number, post, parent, reading, standing=ForeignStatus.WAITING if draft else ForeignStatus.SHOWN
        )
    elif kind not in {"settings", "template"}:
        yield Skipped(number, f"not a post: {kind or 'nothing said'}", is_post=True)


def _today(entry: Element, reading: Reading) -> Iterator[Item]:
    number = text_of(entry, f"{ATOM}id")
    kind = text_of(entry, f"{B}type")
    status = text_of(entry, f"{B}status")
    if text_of(entry, f"{B}trashed"):
        yield Skipped(number, "in the trash there", is_post=kind != "COMMENT", settled=True)
    elif kind == "POST":
        labels = tuple(one.get("term") or "" for one in entry.iterfind(f"{ATOM}category"))
        yield from _post(entry, number, text_of(entry, f"{B}filename"), labels, draft=status != "LIVE")
    elif kind == "COMMENT" and status == "SPAM":
        yield Skipped(number, "spam there", settled=True)
    elif kind == "COMMENT":
        post, parent = text_of(entry, f"{B}parent"), text_of(entry, f"{B}inReplyTo") or None
        standing = ForeignStatus.SHOWN if status == "LIVE" else ForeignStatus.WAITING
        yield _comment(entry, number, post, parent, reading, standing=standing)
    else:
        yield Skipped(number, f"not a post: {kind.lower() or 'nothing said'}", is_post=True)


def _post(entry: Element, number: str, place: str, labels: tuple[str, ...], *, draft: bool) -> Iterator[Item]:
    yield ForeignThread(number, (place,) if place else ())
    slug = place.rpartition("/")[2].removesuffix(".html")
    yield ForeignPost(
        id=number,
        title=text_of(entry, f"{ATOM}title"),
        body=text_of(entry, f"{ATOM}content"),
        place=place,
        slug=slug,
        moment=_written(text_of(entry, f"{ATOM}published")),
        labels=tuple(label for label in labels if label),
        summary=text_of(entry, f"{B}metaDescription"),
        draft=draft,
    )


def _comment(
    entry: Element, number: str, post: str, parent: str | None, reading: Reading, *, standing: ForeignStatus
) -> Item:
    author = entry.find(f"{ATOM}author")
    name = ""
    if author is not None:
        name = text_of(author, f"{ATOM}name")
        email = text_of(author, f"{ATOM}email")
        reading.drop(LeftBehind.ADDRESSES, email and email != "noreply@blogger.com")
        reading.drop(LeftBehind.WEBSITES, text_of(author, f"{ATOM}uri"))
        reading.drop(LeftBehind.PICTURES, author.find(PICTURE) is not None)
    created = moment_of(text_of(entry, f"{ATOM}published"))
    if created is None or not post:
        return Skipped(number, "without a date or a thread")
    return ForeignComment(
        id=number,
        thread=post,
        parent=parent if parent != post else None,
        author=name,
        body=text_of(entry, f"{ATOM}content"),
        kind=BodyKind.HTML,
        created_at=created,
        standing=standing,
    )


def _written(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
