"""Following the store: threads that have changed are rewritten in place, with their feeds and their counts."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.comments.models import ShownComment, Thread
from feedback_app.comments.threads.public_comments import approved_comments, last_published, newest_comments
from feedback_app.comments.threads.registry import MOST_NAMED, paths_of, thread_versions
from feedback_app.comments.threads.renderer import (
    FEED_LENGTH,
    NEVER,
    Entry,
    SiteInfo,
    count_text,
    feed_path,
    site_feed,
    thread_feed,
    thread_html,
)
from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.publishing.files.gzip import ENDING, refresh
from feedback_app.publishing.files.write import WriteCounts, write_if_changed
from feedback_app.publishing.incremental import BuildCache, output_lock, read_site_info
from feedback_app.publishing.render.fragments import count_piece, data_piece, rebaked, thread_piece
from feedback_app.publishing.render.machine_files import comments_data

SITE_FEED = "feeds/comments.atom.xml"


def pieces_of(
    path: str, comments: list[ShownComment], place: SiteInfo, *, closed: bool = False
) -> dict[tuple[str, str], str]:
    """What a thread puts into pages, by kind and path."""
    return {
        ("thread", path): thread_piece(path, thread_html(path, comments, place, closed=closed)),
        ("count", path): count_piece(path, count_text(len(comments))),
        ("data", path): data_piece(path, comments_data(path, comments, place.site_url)),
    }


def site_feed_xml(session: Session, place: SiteInfo) -> str:
    """The feed of the whole blog's comments."""
    newest = newest_comments(session, FEED_LENGTH)
    return site_feed(
        [Entry(comment, thread.path, thread.title, thread.published_at) for comment, thread in newest],
        last_published(session) or NEVER,
        place,
    )


def catch_up(settings: Settings, store: Store, numbers: Collection[int] | None = None) -> int:
    """Bring every thread that changed up to date in the output folder; returns how many there were.

    Whoever knows which they can be says it with their numbers: it is not asked of ten thousand, then.

    What stands there when this ends is, byte for byte, what a full build would have written. Where the site is not
    what it was built as, nothing is known of it any more, and a build has to make it right.
    """
    shelf = BuildCache.open_built(settings)
    if shelf is None:
        return 0
    try:
        with store.reading() as session:
            known = numbers is not None and len(numbers) <= MOST_NAMED
            stale = _stale(session, shelf, paths_of(session, numbers) if known and numbers is not None else None)
        if not stale:
            return 0
        with output_lock(settings), store.reading() as session:
            # Somebody else may have brought some of them up to date since.
            stale = _stale(session, shelf, stale)
            if not stale:
                return 0
            try:
                rewrite(settings, session, shelf, stale)
            except FileNotFoundError:
                shelf.set_facts(key="")
                return 0
        return len(stale)
    finally:
        shelf.close()


def _stale(session: Session, shelf: BuildCache, of: Collection[str] | None = None) -> dict[str, int]:
    """The threads (of these) whose site is not of their version; where a post is not on the site, there is nothing."""
    shown = shelf.thread_versions(of)
    now = thread_versions(session, of)
    return {path: version for path, version in now.items() if shown.get(path, version) != version}


def rewrite(settings: Settings, session: Session, shelf: BuildCache, stale: dict[str, int]) -> None:
    """Put these threads, of these versions, into the pages that show something of them. Raises FileNotFoundError."""
    place = read_site_info(shelf)
    comments = approved_comments(session, stale)
    threads = {thread.path: thread for thread in session.scalars(select(Thread).where(Thread.path.in_(stale)))}
    written = WriteCounts()
    pieces: dict[tuple[str, str], str] = {}
    for path in stale:
        closed = threads[path].closed_at is not None
        pieces |= pieces_of(path, comments.get(path, []), place, closed=closed)
    # No folder is made here: where one is missing somebody emptied the site, and a build has to make it whole.
    # The threads' own pages first: whoever follows a count finds what it counted.
    pages = sorted(shelf.pages_showing(list(stale)), key=lambda page: (f"/{page}" not in stale, page))
    for page in pages:
        file = settings.output / page
        write_if_changed(file, rebaked(file.read_bytes(), pieces), written, folders=False)
    feeds = []
    for path in stale:
        thread = threads[path]
        feed = thread_feed(path, thread.title, thread.published_at, comments.get(path, []), place)
        feeds.append(feed_path(path).lstrip("/"))
        write_if_changed(settings.output / feeds[-1], feed.encode(), written, folders=False)
    write_if_changed(settings.output / SITE_FEED, site_feed_xml(session, place).encode(), written, folders=False)
    touched = {name: settings.output / name for name in [*pages, *feeds, SITE_FEED]}
    for name, file in list(touched.items()) if shelf.get_fact("compressed") else ():
        if beside := refresh(file, written):
            touched[name + ENDING] = beside
    shelf.save_rewritten(touched)
    shelf.save_threads({path: (version, len(comments.get(path, []))) for path, version in stale.items()})
