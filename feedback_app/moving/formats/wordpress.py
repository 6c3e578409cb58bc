"""WordPress' export, WXR (wordpress.org, *Tools Export Screen*): RSS whose items are posts with their comments in them.

The namespace has the version in its end (`…/export/1.2/`); nothing of what is read here differs between versions.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import IO
from urllib.parse import urlsplit

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

NAMESPACE = re.compile(r"http://wordpress\.org/export/[\d.]+/")
CONTENT = "{http://purl.org/rss/1.0/modules/content/}encoded"
DRAFTS = {"draft", "pending", "private"}
PUBLISHED = {"publish", "future"}
LEFT = {"0": ForeignStatus.WAITING, "1": ForeignStatus.SHOWN}


def namespace_of(root: Element) -> str:
    """The export's own namespace, whatever its version; empty for RSS that is none."""
    return next((uri for uri in root.nsmap.values() if NAMESPACE.fullmatch(uri)), "")


def read(file: IO[bytes], name: str, reading: Reading) -> Iterator[Item]:
    """Everything in it."""
    wanted = {"item"}
    elements = pieces(file, name, wanted)
    space = namespace_of(next(elements))
    wp = f"{{{space}}}"
    wanted.add(f"{wp}author")
    # Those who write for the blog: they stand in front of the posts.
    writers: set[str] = set()
    for element in elements:
        if element.tag == "item":
            yield from _item(element, wp, f"{{{space}excerpt/}}encoded", writers, reading)
        else:
            writers.add(text_of(element, f"{wp}author_id"))


def _item(item: Element, wp: str, excerpt: str, writers: set[str], reading: Reading) -> Iterator[Item]:
    number = text_of(item, f"{wp}post_id")
    kind = text_of(item, f"{wp}post_type")
    link = text_of(item, "link")
    slug = text_of(item, f"{wp}post_name")
    # The blog's own clock, and how far it is from UTC, if that is said.
    local = _local(text_of(item, f"{wp}post_date")) or _local(text_of(item, f"{wp}post_modified"))
    status = text_of(item, f"{wp}status")
    places = [link] if not urlsplit(link).query else []
    if local and slug:
        places.append(f"/{local:%Y/%m}/{slug}.html")
    if kind == "post":
        yield ForeignThread(number, tuple(places))
        if status in PUBLISHED | DRAFTS:
            yield ForeignPost(
                id=number,
                title=text_of(item, "title"),
                body=text_of(item, CONTENT),
                place=link,
                slug=slug,
                moment=local,
                labels=tuple(_labels(item)),
                summary=text_of(item, excerpt),
                draft=status in DRAFTS or bool(text_of(item, f"{wp}post_password")),
                lines=True,
            )
        else:
            yield Skipped(
                number, f"a post that is {status or 'nothing'} there", is_post=True, settled=status == "trash"
            )
    else:
        yield Skipped(number, f"not a post: {kind or 'nothing said'}", is_post=True)
    for comment in item.iterfind(f"{wp}comment"):
        yield _comment(comment, number if kind == "post" else None, wp, writers, reading)


def _comment(comment: Element, post: str | None, wp: str, writers: set[str], reading: Reading) -> Item:
    def said(tag: str) -> str:
        return text_of(comment, f"{wp}comment_{tag}")

    number = said("id")
    reading.drop(LeftBehind.ADDRESSES, said("author_email"))
    reading.drop(LeftBehind.NETWORKS, said("author_IP"))
    reading.drop(LeftBehind.WEBSITES, said("author_url"))
    if post is None:
        return Skipped(number, "below something that is not a post")
    if said("type") not in {"", "comment"}:
        return Skipped(number, f"a {said('type')}, not a comment", settled=True)
    standing = LEFT.get(said("approved"))
    if standing is None:
        return Skipped(number, f"{'in the trash' if said('approved') == 'trash' else 'spam'} there", settled=True)
    created = moment_of(said("date_gmt")) or moment_of(said("date"))
    if created is None:
        return Skipped(number, "without a date or a thread")
    parent = said("parent")
    return ForeignComment(
        id=number,
        thread=post,
        parent=parent if parent not in {"", "0"} else None,
        author=said("author"),
        body=said("content"),
        kind=BodyKind.LINES,
        created_at=created,
        standing=standing,
        by_owner=said("user_id") in writers - {"", "0"},
    )


def _labels(item: Element) -> Iterator[str]:
    for category in item.iterfind("category"):
        named = (category.text or "").strip()
        if category.get("domain") in {"category", "post_tag"} and named and category.get("nicename") != "uncategorized":
            yield named


def _local(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        # Drafts that were never saved have a row of noughts.
        return None
