"""Exporting comments, as JSON for programs and as Disqus' XML for other systems: streamed, no address in either."""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import IO

from lxml import etree
from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.clock import rfc3339
from feedback_app.comments.models import Comment, CommentStatus, Thread
from feedback_app.comments.threads.renderer import link_path
from feedback_app.moving.formats.disqus import DISQUS, ID, INTERNALS, OURS

STEP = 500
# What XML can't hold (XML 1.0, 2.2).
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
HIDDEN = {CommentStatus.DELETED, CommentStatus.REJECTED}


def export_json(session: Session, out: IO[bytes], site_url: str) -> int:
    """One JSON document: every comment of every status, a line each. Returns how many there are."""
    head = {"format": "undisclosed comments", "version": 1, "site": site_url}
    out.write(json.dumps(head, ensure_ascii=False)[:-1].encode() + b', "comments": [')
    number = 0
    for number, (comment, path) in enumerate(_comments(session), 1):
        said = {
            "id": comment.id,
            "post": path,
            "parent": comment.parent_id,
            "author": comment.author,
            "by_owner": comment.by_owner,
            "status": comment.status,
            "reasons": comment.reasons,
            "created_at": comment.created_at.isoformat(),
            "edited_at": comment.edited_at.isoformat() if comment.edited_at else None,
            "text": comment.text,
            "html": comment.html,
        }
        out.write((b"\n" if number == 1 else b",\n") + json.dumps(said, ensure_ascii=False).encode())
    out.write(b"\n]}\n")
    return number


def export_disqus(session: Session, out: IO[bytes], site_url: str) -> int:
    """Disqus' XML, as Disqus and what reads its exports takes it. Returns how many comments there are."""
    number = 0
    with etree.xmlfile(out, encoding="utf-8") as xml:
        xml.write_declaration()
        with xml.element(f"{{{DISQUS}}}disqus", nsmap={None: DISQUS, "dsq": INTERNALS, "u": OURS}):
            for thread in session.scalars(select(Thread).order_by(Thread.id).execution_options(yield_per=STEP)):
                xml.write(_thread(thread, site_url), "\n")
            for comment, _ in _comments(session):
                xml.write(_post(comment), "\n")
                number += 1
    out.write(b"\n")
    return number


def _comments(session: Session) -> Iterator[tuple[Comment, str]]:
    query = select(Comment, Thread.path).join(Thread, Comment.thread_id == Thread.id).order_by(Comment.id)
    for comment, path in session.execute(query.execution_options(yield_per=STEP)):
        yield comment, path
        # What was written out need not be remembered.
        session.expunge(comment)


def _thread(thread: Thread, site_url: str) -> "etree._Element":
    element = etree.Element(f"{{{DISQUS}}}thread", {ID: str(thread.id)})
    _add(element, "id", thread.path)
    _add(element, "link", f"{site_url}{link_path(thread.path)}")
    _add(element, "title", thread.title)
    _add(element, "createdAt", rfc3339(thread.published_at))
    _add(element, "isClosed", _truth(here=thread.closed_at is not None))
    _add(element, "isDeleted", "false")
    return element


def _post(comment: Comment) -> "etree._Element":
    element = etree.Element(f"{{{DISQUS}}}post", {ID: str(comment.id)})
    _add(element, "id")
    _add(element, "message", comment.html)
    _add(element, "createdAt", rfc3339(comment.created_at))
    _add(element, "isDeleted", _truth(here=comment.status in HIDDEN))
    _add(element, "isSpam", _truth(here=comment.status is CommentStatus.SPAM))
    _add(element, "isApproved", _truth(here=comment.status is CommentStatus.APPROVED))
    author = etree.SubElement(element, f"{{{DISQUS}}}author")
    _add(author, "name", comment.author)
    _add(author, "isAnonymous", "true")
    etree.SubElement(element, f"{{{DISQUS}}}thread", {ID: str(comment.thread_id)})
    if comment.parent_id is not None:
        etree.SubElement(element, f"{{{DISQUS}}}parent", {ID: str(comment.parent_id)})
    _add(element, "text", comment.text, OURS)
    _add(element, "createdAt", _exact(comment.created_at), OURS)
    if comment.edited_at:
        _add(element, "editedAt", _exact(comment.edited_at), OURS)
    if comment.by_owner:
        _add(element, "byOwner", "true", OURS)
    return element


def _add(parent: "etree._Element", tag: str, text: str = "", namespace: str = DISQUS) -> None:
    etree.SubElement(parent, f"{{{namespace}}}{tag}").text = NOT_XML.sub("", text)


def _exact(moment: datetime) -> str:
    return moment.isoformat()


def _truth(*, here: bool) -> str:
    return "true" if here else "false"
