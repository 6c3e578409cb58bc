"""Importing comments: streamed, the oldest first, a transaction a batch; run twice, nothing doubles.

What comes over goes through the gate that everything typed goes through. A comment with an address in it waits for the
owner here, too, with the address masked. Nobody is told by mail about answers that came over.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from feedback_app.audit_log import COMMAND, Act, note
from feedback_app.comments.markup.sanitizer import (
    LONGEST_TEXT,
    RULES,
    clean_text,
    comment_html,
    has_address,
    is_visible,
    shows_address,
    visible_text,
    without_addresses,
)
from feedback_app.comments.models import Comment, CommentStatus, FormerPath, Thread
from feedback_app.comments.spam.verdicts import ADDRESS_AS_NAME, ADDRESS_IN_TEXT, repeat_hash
from feedback_app.db.base import Base
from feedback_app.db.store import Store, advisory_lock
from feedback_app.moving.detect_format import System, opened
from feedback_app.moving.formats.records import ForeignComment, ForeignStatus, ForeignThread, Item, Reading, Skipped
from feedback_app.moving.html_to_markdown import LONGEST_BODY, comment_text
from feedback_app.moving.import_report import CommentsReport
from feedback_app.moving.spool import Spool, spooling

BATCH = 500
LONGEST_AUTHOR = 80
NAMELESS = "undisclosed"
WAITED = "it waited where it came from"
COMMENTS = Base.metadata.tables["comments"]


@dataclass(frozen=True, slots=True)
class CommentRow:
    """A comment as it will stand here, and what it is there."""

    id: str
    parent: str | None
    values: dict[str, Any]
    cut: bool = False

    @property
    def hash(self) -> bytes:
        """By what it is known again."""
        return bytes(self.values["foreign_hash"])

    @property
    def same(self) -> tuple[int, datetime, str, str]:
        """By what one is known that was exported from here."""
        values = self.values
        return values["thread_id"], values["created_at"], values["author"], values["text"]


def import_comments(
    store: Store,
    path: Path,
    *,
    now: datetime,
    dry: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> CommentsReport:
    """Import a file's comments below the posts that are here. `dry` only counts. Raises Unreadable."""
    report, reading = CommentsReport(), Reading()
    size = path.stat().st_size if path.is_file() else 0
    with spooling() as spool:
        with opened(path, reading, lambda done: progress(done, 2 * size)) as (system, found):
            for item in found:
                _keep(spool, item, report)
        report.system, report.behind = system.value, reading.behind
        _bring_over(store, spool, system, report, now=now, dry=dry, progress=progress)
    if report.added and not dry:
        with store.writing() as session:
            note(session, COMMAND, Act.IMPORTED, f"{report.added} comments from {system}", now=now)
    return report


def _keep(spool: Spool, item: Item, report: CommentsReport) -> None:
    match item:
        case ForeignThread():
            spool.keep_thread(item)
        case ForeignComment() if not spool.keep(item):
            report.left_out.add("twice in the file", item.id)
        case Skipped() if not item.is_post:
            report.left_out.add(item.reason, item.id, settled=item.settled)
        case _:
            pass


def foreign_hash(system: System, comment: ForeignComment) -> bytes:
    """By what a comment is known again: systems count from one, so that the moment belongs to its id."""
    return hashlib.sha256(f"{system}\0{comment.id}\0{comment.created_at.isoformat()}".encode()).digest()


def paths_of(place: str) -> Iterator[str]:
    """The paths that a post may have here of which another system says that it is in this place."""
    try:
        path = unquote(urlsplit(place).path).removesuffix("/index.html")
    except ValueError:
        return
    bare = f"/{path.strip('/')}"
    yield bare
    if bare != "/" and not bare.endswith(".html"):
        yield f"{bare}/"
        yield f"{bare}.html"


def _bring_over(
    store: Store,
    spool: Spool,
    system: System,
    report: CommentsReport,
    *,
    now: datetime,
    dry: bool,
    progress: Callable[[int, int], None],
) -> None:
    with store.reading() as session:
        here: dict[str, int] = dict(session.execute(select(Thread.path, Thread.id)).all())
        for path, number in session.execute(select(FormerPath.path, FormerPath.thread_id)):
            here.setdefault(path, number)
    total, done = spool.count(), 0
    late: list[tuple[int, int, str]] = []
    rows = _rows(spool, system, here, report, now=now)
    while batch := list(islice(rows, BATCH)):
        if dry:
            with store.reading() as session:
                known = _known(session, batch)
            # Numbers that no row has: only who would stand below whom is asked of them.
            fresh = (row.id for row in batch if row.id not in known)
            new = {id_: -number for number, id_ in enumerate(fresh, done + 1)}
        else:
            known, new = store.write(partial(_import_batch, batch=batch, spool=spool))
        _count(report, [row for row in batch if row.id in new], len(known))
        numbers = known | new
        spool.note_ours([(numbers[row.id], row.values["thread_id"], row.id) for row in batch])
        answers = [(new[row.id], row.values["thread_id"], row.parent) for row in batch if row.parent and row.id in new]
        late += [answer for answer in answers if _above(spool, answer) is None]
        done += len(batch)
        progress(total + done, 2 * total)
    for start in range(0, len(late), BATCH):
        some = late[start : start + BATCH]
        joins = [
            {"number": answer[0], "parent": parent} for answer in some if (parent := _above(spool, answer)) is not None
        ]
        report.alone += len(some) - len(joins)
        if joins and not dry:
            store.write(partial(_join, joins=joins))


def _count(report: CommentsReport, new: Sequence[CommentRow], known: int) -> None:
    shown = sum(row.values["status"] is CommentStatus.APPROVED for row in new)
    report.shown += shown
    report.waiting += len(new) - shown
    report.cut += sum(row.cut for row in new)
    report.known += known


def _rows(
    spool: Spool, system: System, here: dict[str, int], report: CommentsReport, *, now: datetime
) -> Iterator[CommentRow]:
    threads: dict[str, int | None] = {}
    for comment in spool.comments():
        if comment.thread not in threads:
            paths = (path for place in spool.places(comment.thread) for path in paths_of(place))
            threads[comment.thread] = next((here[path] for path in paths if path in here), None)
        thread = threads[comment.thread]
        if thread is None:
            places = spool.places(comment.thread)
            report.left_out.add("no post here has the address of its post", places[0] if places else comment.thread)
        elif comment.created_at > now:
            report.left_out.add("written at a time that has not come yet", comment.id)
        elif len(comment.body) > LONGEST_BODY:
            report.left_out.add(f"longer than {LONGEST_TEXT:,} letters", comment.id)
        else:
            text = comment_text(comment.body, comment.kind)
            if len(text) > LONGEST_TEXT:
                report.left_out.add(f"longer than {LONGEST_TEXT:,} letters", comment.id)
            elif not is_visible(visible_text(html := comment_html(text))):
                report.left_out.add("nothing to be seen in it", comment.id)
            else:
                yield _row(system, comment, thread, text, html)


def _row(system: System, comment: ForeignComment, thread: int, text: str, html: str) -> CommentRow:
    author = " ".join(clean_text(comment.author).split())
    author = author if is_visible(author) else NAMELESS
    reasons = [ADDRESS_IN_TEXT] if shows_address(text, html) else []
    reasons += [ADDRESS_AS_NAME] if has_address(author) else []
    reasons += [WAITED] if comment.standing is ForeignStatus.WAITING else []
    kept, name = without_addresses(text), without_addresses(author)
    values = {
        "thread_id": thread,
        "author": name[:LONGEST_AUTHOR],
        "text": kept,
        "html": html if kept == text else comment_html(kept),
        "rules": RULES,
        "status": CommentStatus.PENDING if reasons else CommentStatus.APPROVED,
        "created_at": comment.created_at,
        "changed_at": max(comment.created_at, comment.edited_at or comment.created_at),
        "edited_at": comment.edited_at,
        "by_owner": comment.by_owner,
        "reasons": reasons,
        "repeat_hash": repeat_hash(text),
        "foreign_hash": foreign_hash(system, comment),
    }
    return CommentRow(comment.id, comment.parent, values, cut=len(name) > LONGEST_AUTHOR)


def _known(session: Session, batch: Sequence[CommentRow]) -> dict[str, int]:
    """Which of these are here already, by their id there: imported before, or once exported from here."""
    ids = {row.hash: row.id for row in batch}
    query = select(Comment.foreign_hash, Comment.id).where(Comment.foreign_hash.in_(ids))
    known = {ids[bytes(hash_)]: number for hash_, number in session.execute(query) if hash_ is not None}
    rest = {row.same: row.id for row in batch if row.id not in known}
    same = select(Comment.thread_id, Comment.created_at, Comment.author, Comment.text, Comment.id).where(
        Comment.thread_id.in_({key[0] for key in rest}), Comment.created_at.in_({key[1] for key in rest})
    )
    for thread, moment, author, text, number in session.execute(same):
        if (id_ := rest.get((thread, moment, author, text))) is not None:
            known[id_] = number
    return known


def _import_batch(session: Session, *, batch: list[CommentRow], spool: Spool) -> tuple[dict[str, int], dict[str, int]]:
    """Keep a batch; returns our numbers of those that were here already, and of the new ones, by their id there."""
    advisory_lock(session, "import of comments")
    known = _known(session, batch)
    fresh = [row for row in batch if row.id not in known]
    if not fresh:
        return known, {}
    session.execute(insert(COMMENTS), [row.values for row in fresh])
    query = select(Comment.foreign_hash, Comment.id).where(Comment.foreign_hash.in_([row.hash for row in fresh]))
    numbers = {bytes(hash_ or b""): number for hash_, number in session.execute(query)}
    new = {row.id: numbers[row.hash] for row in fresh}
    here = {row.id: ((known | new)[row.id], row.values["thread_id"]) for row in batch}
    joins = []
    for row in fresh:
        above = (here.get(row.parent) or spool.ours(row.parent)) if row.parent else None
        if above is not None and above[1] == row.values["thread_id"] and above[0] != new[row.id]:
            joins.append({"number": new[row.id], "parent": above[0]})
    _join(session, joins)
    seen = {row.values["thread_id"] for row in fresh if row.values["status"] is CommentStatus.APPROVED}
    session.execute(update(Thread).where(Thread.id.in_(seen)).values(version=Thread.version + 1))
    return known, new


def _above(spool: Spool, answer: tuple[int, int, str]) -> int | None:
    """Our own number of what stands above an answer, by its number, its thread, and what it answers there."""
    number, thread, parent = answer
    above = spool.ours(parent)
    return above[0] if above is not None and above[1] == thread and above[0] != number else None


def _join(session: Session, joins: list[dict[str, int]]) -> None:
    if joins:
        statement = update(COMMENTS).where(COMMENTS.c.id == bindparam("number")).values(parent_id=bindparam("parent"))
        session.connection().execute(statement, joins)
