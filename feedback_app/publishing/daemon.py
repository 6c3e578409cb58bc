"""The publisher: the process that keeps the site up to date. It watches the content and follows the store."""

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
from feedback_app.publishing.incremental import is_built
from feedback_app.publishing.live.listener import ThreadListener
from feedback_app.publishing.live.update import catch_up
from feedback_app.publishing.search_index import Indexer
from feedback_app.publishing.watcher import Changes, watch_files

# The longest wait for a change of the store or the files; so long it also takes to notice `stop`.
FOLLOW_SECONDS = 0.5
# How often it is checked whether the site is still what was built.
CHECK_SECONDS = 10.0
# How often posts are closed that have become too old for comments. The comment form does not wait for it.
CLOSE_SECONDS = 5
RETRY_SECONDS = 10

log = logging.getLogger(__name__)


def run_publisher(settings: Settings, store: Store, worker_id: str, stop: threading.Event) -> None:
    """Build when the content, the theme or the configuration changes; rewrite threads when the store does."""
    listener = ThreadListener(store)
    changes = Changes(listener.interrupt)
    watcher = threading.Thread(target=watch_files, args=(settings, changes, stop), daemon=True, name="watcher")
    watcher.start()
    indexer = Indexer(settings.output, stop)
    last_beat = last_closing = None
    # When the next scheduled post is due (seconds since 1970).
    due: float | None = None
    # Whether the latest build was not refused, and whether threads may have changed that were not looked at.
    built = threads_changed = True
    builder = Builder(settings, store)
    check_at = 0.0
    while not stop.is_set():
        try:
            now = clock.now()
            if last_beat is None or now - last_beat > BEAT:
                with store.writing() as session:
                    beat(session, worker_id, WorkerKind.PUBLISHER, now=now)
                last_beat = now
            if due is not None and due <= now.timestamp():
                # Only once: if the build is refused, the next change brings the post along.
                due = None
                changes.note()
            changes.note_recheck_if_due()
            is_emptied = False
            if built and time.monotonic() >= check_at:
                # A site that is not there as it was built (its folder was emptied) is built again, but only once.
                is_emptied = not is_built(settings)
                check_at = time.monotonic() + CHECK_SECONDS
            if changes.noted.is_set() or is_emptied:
                is_recheck = changes.is_recheck
                report = _build(builder, changes.take(), is_recheck=is_recheck)
                built, threads_changed = report is not None, True
                due = builder.next_due() or due
                if not is_recheck or _wrote_anything(report):
                    indexer.wake()
            if last_closing is None or now - last_closing > timedelta(seconds=CLOSE_SECONDS):
                close_old_posts(settings, store)
                last_closing = now
            threads_changed = _follow(settings, store, listener, changes.noted, threads_changed=threads_changed)
        except (OSError, sqlite3.Error, DBAPIError) as error:
            log.error("%s", _describe(error))  # noqa: TRY400 - one line
            # Neither the build nor the threads may be taken for done.
            threads_changed = True
            changes.note()
            stop.wait(RETRY_SECONDS)
    builder.close()
    listener.close()
    with store.writing() as session:
        sign_off(session, worker_id)


def _follow(
    settings: Settings, store: Store, listener: ThreadListener, files_changed: threading.Event, *, threads_changed: bool
) -> bool:
    """Rewrite threads that have changed, and wait for the next change; returns whether threads may have changed."""
    if threads_changed:
        catch_up(settings, store)
    if files_changed.is_set() or not listener.wait(FOLLOW_SECONDS):
        return False
    if files_changed.is_set():
        return True
    # Before anything else: a reader waits to see the comment.
    catch_up(settings, store, listener.take_changed())
    return False


def _describe(error: OSError | sqlite3.Error | DBAPIError) -> str:
    match error:
        case OSError():
            return f"The site can't be written: {error.filename}: {error.strerror}"
        case sqlite3.Error():
            return f"What is known of the site can't be read or kept: {error}"
    return "The store does not answer; until it does, the site stays as it is."


def _wrote_anything(report: BuildReport | None) -> bool:
    return report is None or bool(report.files.written or report.files.removed)


def _build(builder: Builder, changed: frozenset[Path] | None, *, is_recheck: bool) -> BuildReport | None:
    """Build what has changed and log the result; returns None if the build was refused."""
    try:
        report = builder.build(changed=changed)
    except BuildRefused as error:
        log.error("Not built, what was live stays live:\n%s", error)  # noqa: TRY400 - the lines say it
        return None
    if is_recheck and not _wrote_anything(report):
        # The watcher had missed nothing, as nearly always: no reason for a line.
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
