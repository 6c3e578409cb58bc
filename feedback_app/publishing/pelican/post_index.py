"""The index of all posts by their files: files that have changed are read again, the others come from the cache."""

import json
import logging
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pelican.contents import SkipStub
from sqlalchemy.exc import DBAPIError

from feedback_app.images.pictures import BadPicture
from feedback_app.publishing.content.address_leaks import Leak, is_suspect
from feedback_app.publishing.content.front_matter import line_of, problems
from feedback_app.publishing.content.leak_guard import drop_connections, refuse_leaks
from feedback_app.publishing.files.scan import Stamp, digest, is_racy, stamp_at, stamp_of
from feedback_app.publishing.incremental import (
    MIN_PARALLEL_FILES,
    BuildCache,
    PostRecord,
    PostTexts,
    cpu_count,
    run_in_processes,
)
from feedback_app.publishing.pelican.compat import internal_links
from feedback_app.publishing.pelican.log import PlainMessage, log_messages, messages_of_child
from feedback_app.publishing.pelican.readers import CachedReaders, read_article
from feedback_app.publishing.posts.card import make_card
from feedback_app.publishing.posts.lazy_post import LazyPost, PostLoader

# A slug is a file's name and a part of an address: letters, digits, and signs without a meaning in either.
SLUG = re.compile(r"[\w~-][\w.~-]*")

log = logging.getLogger("pelican")

# A file that was read: its path, its record, its texts.
ReadPost = tuple[str, PostRecord, PostTexts]


class PostRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A post can't be published as it is; one line that names its file."""


class PostIndex:
    """All posts of the blog, by the paths of their files."""

    def __init__(self, cache: BuildCache, base: Path) -> None:
        """Start with what the cache holds; `base` is the content folder."""
        self.cache = cache
        self.base = base
        self.records = cache.posts()
        self.posts: dict[str, LazyPost] = {}
        # The files that the latest build read; and whether the only changes since the build before are in posts' texts,
        # so that all cards and their order are as they were.
        self.read_paths: list[str] = []
        self.only_texts_changed = False
        # Files that need no further look as long as they have these stamps.
        self._unchanged: dict[str, Stamp] = {}

    def refresh(self, stamps: dict[str, Stamp], generator: Any, loader: PostLoader) -> list[str]:  # noqa: ANN401 - Pelican's
        """Read what has changed and forget what is gone; returns the files that can't be read: the next build tries."""
        readers: CachedReaders = generator.readers
        readers.new_texts.clear()
        gone = [path for path in self.records if path not in stamps]
        changed, touched = self._changed(stamps, waits=not generator.settings["WITH_FUTURE_DATES"])
        readers.changed = {
            path
            for path, file_digest in changed.items()
            if path not in self.records or file_digest != self.records[path].file_digest
        }
        read, failed = self._read(list(changed), generator)
        self.read_paths = [path for path, _, _ in read]
        self.only_texts_changed = not gone and not failed
        for path in [*gone, *failed]:
            self.records.pop(path, None)
            self.posts.pop(path, None)
            self._unchanged.pop(path, None)
        for path, record, texts in read:
            before = self.records.get(path)
            self.records[path] = record
            if before is not None and before.card_digest == record.card_digest and path in self.posts:
                self.posts[path].set_file_digest(record.file_digest)
            else:
                self.posts.pop(path, None)
                self.only_texts_changed = False
            readers.new_texts[path] = texts.content, texts.metadata
        readers.changed.clear()
        if read or gone or failed:
            self.cache.save_posts(read, [*gone, *failed])
        if touched:
            self.cache.save_stamps(touched)
        for path, record in self.records.items():
            if path not in self.posts and record.card:
                self.posts[path] = LazyPost(path, record.card, record.card_digest, record.file_digest, loader)
                self.only_texts_changed = False
        return failed

    def next_due(self) -> float | None:
        """Return when the first scheduled post is due, in seconds since 1970; None if none is scheduled."""
        return min((record.card["at"] for record in self.records.values() if record.card.get("awaited")), default=None)

    def _changed(
        self, stamps: dict[str, Stamp], *, waits: bool
    ) -> tuple[dict[str, bytes], list[tuple[str, Stamp, int]]]:
        """Return the files that have to be read, with the digests of their bytes, and those that were only touched.

        `waits` is whether a post with a date to come waits for it.
        """
        changed: dict[str, bytes] = {}
        touched: list[tuple[str, Stamp, int]] = []
        for path, stamp in sorted(stamps.items() - self._unchanged.items()):
            record = self.records.get(path)
            if record is not None and record.stamp == stamp and not is_racy(stamp, record.read_at):
                if not record.card or not (record.card.keys() & {"reads", "awaited"}):
                    self._unchanged[path] = stamp
                    continue
                if self._is_current(record, waits=waits):
                    continue
            now = time.time_ns()
            try:
                file_digest = digest(path.encode(), (self.base / path).read_bytes())
            except FileNotFoundError:
                continue
            if record is not None and file_digest == record.file_digest and self._is_current(record, waits=waits):
                self.records[path] = record._replace(stamp=stamp, read_at=now)
                touched.append((path, stamp, now))
            else:
                changed[path] = file_digest
        return changed, touched

    def _is_current(self, record: PostRecord, *, waits: bool) -> bool:
        """Whether a post whose file is unchanged is as it was: a scheduled one is not, nor one with a new picture."""
        return not (waits and record.card.get("awaited")) and record.card.get("read", []) == self._stamps(record.card)

    def _stamps(self, card: dict[str, Any]) -> list[Any]:
        return [list(stamp_at(self.base / path) or ()) for path in card.get("reads", [])]

    def _read(self, paths: list[str], generator: Any) -> tuple[list[ReadPost], list[str]]:  # noqa: ANN401 - Pelican's
        def work(number: int, processes: int) -> tuple[list[tuple[Any, ...]], list[str], list[PlainMessage]]:
            if processes > 1:
                self.cache.reopen_in_child()
                drop_connections(generator.settings)
            with messages_of_child(is_child=processes > 1) as messages:
                read, failed = self._read_some(paths[number::processes], generator)
            # Only plain tuples go through a pipe.
            return [(path, tuple(record), tuple(texts)) for path, record, texts in read], failed, messages

        posts: list[ReadPost] = []
        failed: list[str] = []
        processes = cpu_count() if len(paths) >= MIN_PARALLEL_FILES else 1
        for read, failed_here, messages in run_in_processes(work, processes):
            posts += [(path, PostRecord(*record), PostTexts(*texts)) for path, record, texts in read]
            failed += failed_here
            log_messages(messages)
        return posts, failed

    def _read_some(self, paths: Iterable[str], generator: Any) -> tuple[list[ReadPost], list[str]]:  # noqa: ANN401 - Pelican's
        posts: list[ReadPost] = []
        failed: list[str] = []
        for path in paths:
            try:
                post = self._read_one(path, generator)
            except (PostRefused, Leak, BadPicture) as error:
                for line in str(error).splitlines():
                    log.error("%s", line)  # noqa: TRY400 - the line says it
                post = None
            except DBAPIError:
                raise
            except Exception:  # noqa: BLE001 - a file can be wrong in any way
                log.error("Could not process %s", path)  # noqa: TRY400 - the log's handler adds the reason
                post = None
            if post is None:
                failed.append(path)
            else:
                posts.append(post)
        return posts, failed

    def _read_one(self, path: str, generator: Any) -> ReadPost | None:  # noqa: ANN401 - Pelican's
        now = time.time_ns()
        file = self.base / path
        stamp = stamp_of(file.stat())
        data = file.read_bytes()
        file_digest = digest(path.encode(), data)
        wrong = [f"{file}:{number}: {words}" for number, words in problems(file, data, generator.settings)]
        if wrong:
            raise PostRefused("\n".join(wrong))
        if is_suspect(data.decode()):
            refuse_leaks([file], generator.settings)
        article = read_article(path, generator)
        if isinstance(article, SkipStub):
            return path, PostRecord(stamp, now, file_digest, b"", {}), PostTexts("", "{}", None)
        if article.status != "draft" and not SLUG.fullmatch(article.slug):
            message = (
                f"{line_of(file, 'slug')}: the slug {article.slug!r} can't be part of an address: "
                "use letters, digits and hyphens"
            )
            raise PostRefused(message)
        if not article.is_valid():
            return None
        links = internal_links(article)
        card = make_card(article, links)
        if "reads" in card:
            card["read"] = self._stamps(card)
            file_digest = digest(file_digest, json.dumps(card["read"]).encode())
        readers: CachedReaders = generator.readers
        text = readers.new_texts.pop(path, None) or self.cache.texts(path)
        if text is None:
            message = f"{article.source_path}: an empty file is no post"
            raise PostRefused(message)
        page_text = None if links else article.content
        card_digest = digest(json.dumps(card).encode())
        return path, PostRecord(stamp, now, file_digest, card_digest, card), PostTexts(text[0], text[1], page_text)
