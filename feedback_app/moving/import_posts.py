"""Importing posts: each becomes a content file, at the address it had where that is one of ours, with a redirect else.

Nothing that is there is ever overwritten: a second import finds its own files and leaves them alone.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.audit_log import COMMAND, Act, note
from feedback_app.comments.markup.sanitizer import MASKED, clean_text, without_addresses
from feedback_app.comments.models import FormerPath, Thread
from feedback_app.db.store import Store
from feedback_app.moving.detect_format import System, opened
from feedback_app.moving.formats.records import ForeignPost, Reading, Skipped, UnreadableExport
from feedback_app.moving.html_to_markdown import EMBEDDED, LONGEST_POST, post_text, summary_text
from feedback_app.moving.import_report import PostsReport
from feedback_app.patterns.address_patterns import address_shaped
from feedback_app.publishing.content.new_post import LONGEST_SLUG, LONGEST_TITLE, slug_of

LONGEST_PATH = 400
PICTURE = re.compile(r"!\[[^\]]*\]\(https?:")
SLUG = re.compile(r"[\w~-][\w.~-]*")


def import_posts(
    store: Store,
    path: Path,
    content: Path,
    *,
    zone: ZoneInfo,
    now: datetime,
    dry: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> PostsReport:
    """Write a file's posts below `content`; `zone` is the shop's clock. `dry` only counts. Raises Unreadable."""
    folder = content / "posts"
    if not folder.is_dir():
        message = f"{folder}: there is no such folder: run this in the folder of your shop"
        raise UnreadableExport(message)
    report = PostsReport()
    size = path.stat().st_size if path.is_file() else 0
    taken: set[str] = set()
    with opened(path, Reading(), lambda done: progress(done, size)) as (system, found):
        if system not in {System.WORDPRESS, System.BLOGGER}:
            message = f"{path}: there are no posts in an export of {system.value.title()}: give WordPress' or Blogger's"
            raise UnreadableExport(message)
        report.system = system.value
        for item in found:
            if isinstance(item, Skipped) and item.is_post:
                report.left_out.add(item.reason, item.id, settled=item.settled)
            elif isinstance(item, ForeignPost):
                _import_one(store, item, folder, taken, report, zone=zone, dry=dry)
    if report.written and not dry:
        with store.writing() as session:
            note(session, COMMAND, Act.IMPORTED, f"{len(report.written)} posts from {system.value}", now=now)
    return report


def _import_one(
    store: Store,
    post: ForeignPost,
    folder: Path,
    taken: set[str],
    report: PostsReport,
    *,
    zone: ZoneInfo,
    dry: bool,
) -> None:
    title = " ".join(clean_text(post.title).split())[:LONGEST_TITLE]
    # Without a zone it is the blog's own clock, which hangs on the shop's wall, too.
    date = None if post.moment is None else post.moment.astimezone(zone) if post.moment.tzinfo else post.moment
    slug = _slug(post, title)
    if date is None or len(post.body) > LONGEST_POST or not slug:
        reason = "without a date" if date is None else "longer than a post can be" if slug else "without a title"
        report.left_out.add(reason, title or post.id)
        return
    slug = next(one for one in _numbered(slug) if f"{date:%Y/%m}/{one}" not in taken)
    taken.add(f"{date:%Y/%m}/{slug}")
    text = _file_of(post, title or slug, slug, date)
    if address_shaped(text, ()):
        report.left_out.add("there is an address in disguise in it, which no build would let out", title or post.id)
        return
    file, address = folder / f"{date:%Y-%m-%d}-{slug}.md", f"/{date:%Y/%m}/{slug}.html"
    if file.exists() or not _write(file, text, dry=dry):
        report.known += 1
        return
    report.written.append(file.name)
    report.drafts += post.draft
    report.masked += MASKED in text
    report.pictures += len(PICTURE.findall(text))
    report.embedded += len(EMBEDDED.findall(post.body))
    old = _old_path(post.place)
    if post.draft or old is None or old == address:
        return
    report.redirects += 1
    if not dry:
        with store.writing() as session:
            moment = date if date.tzinfo else date.replace(tzinfo=zone)
            _lead(
                session,
                old,
                Thread(
                    path=address,
                    title=title,
                    published_at=moment,
                    version=0,
                    open=False,
                    source=f"{folder.name}/{file.name}",
                ),
            )


def _slug(post: ForeignPost, title: str) -> str:
    slug = unquote(post.slug)
    return (
        slug if SLUG.fullmatch(slug) and len(slug) <= LONGEST_SLUG and not address_shaped(slug, ()) else slug_of(title)
    )


def _numbered(slug: str) -> Iterator[str]:
    yield slug
    for number in range(2, 1_000_000):
        yield f"{slug}-{number}"


def _file_of(post: ForeignPost, title: str, slug: str, date: datetime) -> str:
    labels = [" ".join(clean_text(label).replace(",", " ").replace(";", " ").split()) for label in post.labels]
    head = {
        "Title": title,
        "Date": f"{date:%Y-%m-%d %H:%M}",
        "Slug": slug,
        "Tags": ", ".join(dict.fromkeys(label for label in labels if label)),
        "Status": "draft" if post.draft else "published",
        "Summary": " ".join(summary_text(post.summary).split()),
    }
    lines = "\n".join(f"{name}: {without_addresses(value)}" for name, value in head.items() if value)
    return f"{lines}\n\n{without_addresses(post_text(post.body, lines=post.lines))}\n"


def _write(file: Path, text: str, *, dry: bool) -> bool:
    if dry:
        return True
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        message = f"{file}: {error.strerror}"
        raise UnreadableExport(message) from error
    return True


def _old_path(place: str) -> str | None:
    """Where a post was, if a page can stand there: not with a question mark, and nowhere but below the site's root."""
    try:
        parts = urlsplit(place)
    except ValueError:
        return None
    path = unquote(parts.path)
    pieces = path.strip("/").split("/")
    safe = all(piece and not piece.startswith(".") and piece.isprintable() for piece in pieces)
    return f"/{path.lstrip('/')}" if safe and not parts.query and len(path) <= LONGEST_PATH else None


def _lead(session: Session, old: str, thread: Thread) -> None:
    """Let an old address lead to a post, whose thread waits for the next build."""
    known = session.scalar(select(Thread).where(Thread.path == thread.path))
    if known is None:
        session.add(thread)
        session.flush()
        known = thread
    if session.get(FormerPath, old) is None and session.scalar(select(Thread.id).where(Thread.path == old)) is None:
        session.add(FormerPath(path=old, thread_id=known.id))
