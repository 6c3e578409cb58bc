"""All posts of the blog, by their files: what has changed is read again, the rest is known."""

import json
import logging
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pelican.contents import Article, SkipStub
from pelican.plugins import signals
from sqlalchemy.exc import DBAPIError

from feedback_app.images.pictures import BadPicture
from feedback_app.publishing.content.address_leaks import Leak, is_suspect
from feedback_app.publishing.content.front_matter import line_of, problems
from feedback_app.publishing.content.leak_guard import drop_connections, refuse_leaks
from feedback_app.publishing.files.scan import Stamp, digest, is_racy, stamp_at, stamp_of
from feedback_app.publishing.incremental.cache import BuildCache, Known
from feedback_app.publishing.incremental.process_pool import cores, shared
from feedback_app.publishing.pelican.readers import KeptReaders, links_of
from feedback_app.publishing.posts.lazy_post import LazyPost, Makers, card_of

# A slug is a file's name and a piece of an address: letters, digits, and signs that mean nothing in either.
SLUG = re.compile(r"[\w~-][\w.~-]*")
# Fewer files than that are read before a second process has started.
WORTH_SHARING = 100

log = logging.getLogger("pelican")

# What reading a file gives: its path, what is known now, its text, its metadata, and what its page shows, unless that
# depends on other files; plain, to travel between processes.
Row = tuple[str, tuple[Stamp, int, bytes, bytes, dict[str, Any]], str, str, str | None]


class PostRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A post can't be published as it is; one line that names its file."""


class PostIndex:
    """The posts that there are."""

    def __init__(self, shelf: BuildCache, base: Path) -> None:
        """Begin with what the shelf knows."""
        self.shelf = shelf
        self.base = base
        self.known = shelf.posts()
        self.listed: dict[str, LazyPost] = {}
        # The files that were read in the latest build; and whether nothing but the texts of some posts is new since the
        # one before: all that lists know of them, and their order, is as it was.
        self.fresh: list[str] = []
        self.only_texts = False
        # Files that need no look as long as their stamps are these.
        self._settled: dict[str, Stamp] = {}

    def refresh(self, found: dict[str, Stamp], generator: Any, makers: Makers) -> list[str]:  # noqa: ANN401 - Pelican's
        """Read what has changed, forget what is gone; returns the files that can't be read, which stay to be read."""
        readers: KeptReaders = generator.readers
        readers.fresh.clear()
        gone = [path for path in self.known if path not in found]
        changed, seen = self._changed(found, waits=not generator.settings["WITH_FUTURE_DATES"])
        readers.stale = {path for path in changed if path not in self.known or changed[path] != self.known[path].digest}
        rows, failed = self._read(list(changed), generator)
        self.fresh = [row[0] for row in rows]
        self.only_texts = not gone and not failed
        for path in [*gone, *failed]:
            self.known.pop(path, None)
            self.listed.pop(path, None)
            self._settled.pop(path, None)
        kept: list[tuple[str, Known, str, str, str | None]] = []
        for path, plain, content, metadata, shown in rows:
            before, known = self.known.get(path), Known(*plain)
            self.known[path] = known
            if before is not None and before.face == known.face and path in self.listed:
                self.listed[path].renew(known.digest)
            else:
                self.listed.pop(path, None)
                self.only_texts = False
            readers.fresh[path] = (content, metadata)
            kept.append((path, known, content, metadata, shown))
        readers.stale.clear()
        if kept or gone or failed:
            self.shelf.keep_posts(kept, [*gone, *failed])
        if seen:
            self.shelf.keep_seen(seen)
        self._list(makers)
        return failed

    def next_due(self) -> float | None:
        """When the first of the posts that wait for their date is due, in seconds since 1970; None if none waits."""
        return min((known.card["at"] for known in self.known.values() if known.card.get("awaited")), default=None)

    def _list(self, makers: Makers) -> None:
        for path, known in self.known.items():
            if path not in self.listed and known.card:
                self.listed[path] = LazyPost(path, known.card, known.face, known.digest, makers)
                self.only_texts = False

    def _changed(
        self, found: dict[str, Stamp], *, waits: bool
    ) -> tuple[dict[str, bytes], list[tuple[str, Stamp, int]]]:
        """Files that say something else than they did, with their fingerprints; and files that only look different."""
        changed: dict[str, bytes] = {}
        seen: list[tuple[str, Stamp, int]] = []
        for path, stamp in sorted(found.items() - self._settled.items()):
            known = self.known.get(path)
            if known is not None and known.stamp == stamp and not is_racy(stamp, known.seen):
                if not known.card or not (known.card.keys() & {"reads", "awaited"}):
                    self._settled[path] = stamp
                    continue
                if self._as_it_was(known, waits=waits):
                    continue
            now = time.time_ns()
            try:
                what = digest(path.encode(), (self.base / path).read_bytes())
            except FileNotFoundError:
                continue
            if known is not None and what == known.digest and self._as_it_was(known, waits=waits):
                self.known[path] = known._replace(stamp=stamp, seen=now)
                seen.append((path, stamp, now))
            else:
                changed[path] = what
        return changed, seen

    def _as_it_was(self, known: Known, *, waits: bool) -> bool:
        # A post that waits for its date is looked at each time; so is one whose picture, say, has changed.
        return not (waits and known.card.get("awaited")) and known.card.get("read", []) == self._stamps(known.card)

    def _stamps(self, card: dict[str, Any]) -> list[Any]:
        return [list(stamp_at(self.base / path) or ()) for path in card.get("reads", [])]

    def _read(self, paths: list[str], generator: Any) -> tuple[list[Row], list[str]]:  # noqa: ANN401 - Pelican's
        shares = cores() if len(paths) >= WORTH_SHARING else 1

        def work(share: int, shares: int) -> tuple[list[Row], list[str], list[tuple[int, str]]]:
            if shares > 1:
                self.shelf.reopen()
                drop_connections(generator.settings)
            with collecting(alone=shares > 1) as said:
                rows, failed = self._read_some(paths[share::shares], generator)
            return rows, failed, said

        rows, failed = [], []
        for some, bad, said in shared(work, shares):
            rows += some
            failed += bad
            for level, words in said:
                log.log(level, "%s", words)
        return [(path, (tuple(plain[0]), *plain[1:]), *texts) for path, plain, *texts in rows], failed

    def _read_some(self, paths: Iterable[str], generator: Any) -> tuple[list[Row], list[str]]:  # noqa: ANN401 - Pelican's
        rows: list[Row] = []
        failed: list[str] = []
        for path in paths:
            try:
                row = self._read_one(path, generator)
            except (PostRefused, Leak, BadPicture) as error:
                for line in str(error).splitlines():
                    log.error("%s", line)  # noqa: TRY400 - the line says it
                row = None
            except DBAPIError:
                raise
            except Exception:  # noqa: BLE001 - a file can be wrong in any way there is
                log.error("Could not process %s", path)  # noqa: TRY400 - who listens adds the reason
                row = None
            if row is None:
                failed.append(path)
            else:
                rows.append(row)
        return rows, failed

    def _read_one(self, path: str, generator: Any) -> Row | None:  # noqa: ANN401 - Pelican's
        now = time.time_ns()
        file = self.base / path
        stamp = stamp_of(file.stat())
        data = file.read_bytes()
        what = digest(path.encode(), data)
        wrong = [f"{file}:{number}: {words}" for number, words in problems(file, data, generator.settings)]
        if wrong:
            raise PostRefused("\n".join(wrong))
        if is_suspect(data.decode()):
            refuse_leaks([file], generator.settings)
        article = read_article(path, generator)
        if isinstance(article, SkipStub):
            return path, (stamp, now, what, b"", {}), "", "{}", None
        if article.status != "draft" and not SLUG.fullmatch(article.slug):
            message = (
                f"{line_of(file, 'slug')}: the slug {article.slug!r} can't be part of an address: "
                "use letters, digits and hyphens"
            )
            raise PostRefused(message)
        if not article.is_valid():
            return None
        links = links_of(article)
        card = card_of(article, links)
        if "reads" in card:
            card["read"] = self._stamps(card)
            what = digest(what, json.dumps(card["read"]).encode())
        readers: KeptReaders = generator.readers
        kept = readers.fresh.pop(path, None) or self.shelf.text(path)
        if kept is None:
            message = f"{article.source_path}: an empty file is no post"
            raise PostRefused(message)
        shown = None if links else article.content
        face = digest(json.dumps(card).encode())
        return path, (stamp, now, what, face, card), *kept, shown


def read_article(path: str, generator: Any) -> Article:  # noqa: ANN401 - Pelican's
    """A post's whole article, of its file or of what is kept of it, as Pelican makes it."""
    return generator.readers.read_file(
        base_path=generator.path,
        path=path,
        content_class=Article,
        context=generator.context,
        preread_signal=signals.article_generator_preread,
        preread_sender=generator,
        context_signal=signals.article_generator_context,
        context_sender=generator,
    )


class collecting:  # noqa: N801 - used as a word: with collecting() as said
    """What is said of files by a process that can't say it itself, as plain data; or nothing, where it can."""

    def __init__(self, *, alone: bool) -> None:
        """Collect, if this is a child."""
        self.alone = alone
        self.said: list[tuple[int, str]] = []
        self.handler = _Collector(self.said)
        self.before: list[logging.Handler] = []

    def __enter__(self) -> list[tuple[int, str]]:
        """Begin."""
        if self.alone:
            self.before, log.handlers = log.handlers, [self.handler]
        return self.said

    def __exit__(self, *_: object) -> None:
        """End."""
        if self.alone:
            log.handlers = self.before


class _Collector(logging.Handler):
    def __init__(self, said: list[tuple[int, str]]) -> None:
        super().__init__(logging.WARNING)
        self.said = said

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append((record.levelno, with_reason(record)))


def with_reason(record: logging.LogRecord) -> str:
    """What Pelican tells it was about, with the reason, which it keeps to itself."""
    words = record.getMessage().rstrip()
    reason = str(sys.exc_info()[1] or "") if record.levelno >= logging.ERROR else ""
    return f"{words}: {reason}" if reason and not all(line in reason for line in words.splitlines()) else words
