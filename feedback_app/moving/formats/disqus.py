"""Disqus' export (help.disqus.com, *Comments Export*): first all threads, then all comments, which it calls posts.

Our own export is one, too; what Disqus has no place for (the Markdown, the exact moment, whether the owner wrote it)
stands in elements of our own namespace there, which other readers pass over.
"""

from collections.abc import Iterator
from typing import IO

from feedback_app.moving.formats.records import (
    BodyKind,
    ForeignComment,
    ForeignStatus,
    ForeignThread,
    Item,
    LeftBehind,
    Reading,
    Skipped,
    moment_of,
)
from feedback_app.moving.formats.xml_stream import Element, pieces, text_of

DISQUS = "http://disqus.com"
INTERNALS = "http://disqus.com/disqus-internals"
OURS = "urn:undisclosed:comments"
ROOT = f"{{{DISQUS}}}disqus"
ID = f"{{{INTERNALS}}}id"


def read(file: IO[bytes], name: str, reading: Reading) -> Iterator[Item]:
    """Everything in it."""
    elements = pieces(file, name, {f"{{{DISQUS}}}thread", f"{{{DISQUS}}}post"})
    next(elements)
    for element in elements:
        number = element.get(ID) or ""
        if element.tag.endswith("}thread"):
            named = text_of(element, f"{{{DISQUS}}}id")
            link = text_of(element, f"{{{DISQUS}}}link")
            yield ForeignThread(number, tuple(place for place in (link, named) if "/" in place))
        else:
            yield _comment(element, number, reading)


def _comment(post: Element, number: str, reading: Reading) -> Item:
    def said(tag: str) -> str:
        return text_of(post, f"{{{DISQUS}}}{tag}")

    def ours(tag: str) -> str:
        return text_of(post, f"{{{OURS}}}{tag}")

    for tag in ("isDeleted", "isSpam"):
        if said(tag) == "true":
            return Skipped(number, "deleted there" if tag == "isDeleted" else "spam there", settled=True)
    author = post.find(f"{{{DISQUS}}}author")
    reading.drop(LeftBehind.NETWORKS, said("ipAddress"))
    name = ""
    if author is not None:
        reading.drop(LeftBehind.ADDRESSES, text_of(author, f"{{{DISQUS}}}email"))
        reading.drop(LeftBehind.WEBSITES, text_of(author, f"{{{DISQUS}}}link"))
        name = text_of(author, f"{{{DISQUS}}}name") or text_of(author, f"{{{DISQUS}}}username")
    created = moment_of(ours("createdAt") or said("createdAt"))
    thread = post.find(f"{{{DISQUS}}}thread")
    if created is None or thread is None:
        return Skipped(number, "without a date or a thread")
    parent = post.find(f"{{{DISQUS}}}parent")
    return ForeignComment(
        id=number,
        thread=thread.get(ID) or "",
        parent=None if parent is None else parent.get(ID),
        author=name,
        body=ours("text") or said("message"),
        kind=BodyKind.MARKDOWN if ours("text") else BodyKind.HTML,
        created_at=created,
        edited_at=moment_of(ours("editedAt")),
        standing=ForeignStatus.WAITING if said("isApproved") == "false" else ForeignStatus.SHOWN,
        by_owner=ours("byOwner") == "true",
    )
