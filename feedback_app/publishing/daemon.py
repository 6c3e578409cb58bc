"""The process that keeps the site right: it watches the content and follows the store."""

import logging
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from feedback_app import clock
from feedback_app.comments.threads.closing import close_old_posts
from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.heartbeats import BEAT, WorkerKind, beat, sign_off
from feedback_app.publishing.builder import Builder, BuildRefused, BuildReport
from feedback_app.publishing.incremental.output_lock import is_known
from feedback_app.publishing.live.listener import ThreadListener
from feedback_app.publishing.live.update import catch_up
from feedback_app.publishing.search_index import Indexer
from feedback_app.publishing.watcher import Changes, watch_files

# The longest wait for a change; the time that it takes to notice `stop`.
FOLLOW_SECONDS = 1.0
# How often it is looked whether a post has become too old for comments; the form knows it to the moment.
AGE_SECONDS = 10
# How often it is checked whether the site is still what was built.
CHECK_SECONDS = 10.0
RETRY_SECONDS = 10

log = logging.getLogger(__name__)


def run_publisher(settings: Settings, store: Store, worker_id: str, stop: threading.Event) -> None:
    """Build when the content, the theme or the configuration changes; rewrite threads when the store does."""
    listener = ThreadListener(store)
    changes = Changes(listener.interrupt)
    watcher = threading.Thread(target=watch_files, args=(settings, changes, stop), daemon=True, name="watcher")
    watcher.start()
    indexer = Indexer(settings.output, stop)
    last_beat = last_aged = None
    # When a scheduled post is to appear (seconds since 1970).
    due: float | None = None
    built = news = True
    check_at = 0.0
    builder = Builder(settings, store)
    while not stop.is_set():
        try:
            now = clock.now()
            if last_beat is None or now - last_beat > BEAT:
                with store.writing() as session:
                    beat(session, worker_id, WorkerKind.PUBLISHER, now=now)
                last_beat = now
            if due is not None and due <= now.timestamp():
                # Once: where the build is refused, the next change brings the post along.
                due = None
                changes.note()
            changes.note_in_time()
            if last_aged is None or now - last_aged > timedelta(seconds=AGE_SECONDS):
                close_old_posts(settings, store)
                last_aged = now
            emptied = False
            if built and time.monotonic() >= check_at:
                # A site that is not what it was built as (its folder was emptied) is built again, once.
                emptied = not is_known(settings)
                check_at = time.monotonic() + CHECK_SECONDS
            if changes.noted.is_set() or emptied:
                again = changes.again
                report = _build(builder, changes.take(), again=again)
                built, news = report is not None, True
                due = builder.next_due() or due
                if not again or _is_news(report):
                    indexer.wake()
            news = _follow(settings, store, listener, changes.noted, news=news)
        except (OSError, sqlite3.Error, DBAPIError) as error:
            log.error("%s", _why(error))  # noqa: TRY400 - one line
            # Whatever was to be built or followed is still to be.
            news = True
            changes.note()
            stop.wait(RETRY_SECONDS)
    builder.close()
    listener.close()
    with store.writing() as session:
        sign_off(session, worker_id)


def _follow(settings: Settings, store: Store, listener: ThreadListener, edited: threading.Event, *, news: bool) -> bool:
    """Bring the threads up to date and wait for what comes next; returns whether there may be more to do."""
    if news:
        catch_up(settings, store)
    if edited.is_set() or not listener.wait(FOLLOW_SECONDS):
        return False
    if edited.is_set():
        return True
    # Before anything else: somebody is waiting to see it.
    catch_up(settings, store, listener.take_changed())
    return False


def _why(error: OSError | sqlite3.Error | DBAPIError) -> str:
    match error:
        case OSError():
            return f"The site can't be written: {error.filename}: {error.strerror}"
        case sqlite3.Error():
            return f"What is known of the site can't be read or kept: {error}"
    return "The store does not answer; until it does, the site stays as it is."


def _is_news(report: BuildReport | None) -> bool:
    return report is None or bool(report.files.written or report.files.removed)


def _build(builder: Builder, named: frozenset[Path] | None, *, again: bool) -> BuildReport | None:
    """Build what has changed, and say what came of it; None where it was refused."""
    try:
        report = builder.build(named=named)
    except BuildRefused as error:
        log.error("Not built, what was live stays live:\n%s", error)  # noqa: TRY400 - the lines say it
        return None
    if again and not _is_news(report):
        # As it should be.
        return report
    log.info(
        "Built %d posts in %.1f s: %d files written, %d removed.",
        report.posts,
        report.seconds,
        report.files.written,
        report.files.removed,
    )
    for warning in report.warnings:
        log.warning("%s", warning)
    return report
