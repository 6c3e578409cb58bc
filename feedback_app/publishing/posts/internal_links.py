"""What posts link to among the blog's own files: where it is, and which post takes a file along to where it is."""

import os
from collections.abc import Iterable, Iterator, Mapping
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from feedback_app.publishing.files.scan import digest
from feedback_app.publishing.posts.lazy_post import LazyPost


class Links:
    """The links of all posts. What a text shows of what it links to is part of its post's version."""

    def __init__(self, base: Path) -> None:
        """`base` is the content folder; no post is known yet."""
        self._base = base
        self._posts: list[LazyPost] = []
        # The posts that take files along, by the files' places in the content.
        self._taken: dict[str, LazyPost] = {}
        # The posts' versions, as they were in the build before.
        self._before: dict[str, bytes] = {}

    def know(self, posts: Iterable[LazyPost]) -> None:
        """These are the posts, the newest first.

        Where several would take a file along, the oldest does, so that no address of a file is lost. One that is not
        published takes nothing: a file is nowhere but where everybody may know it to be.
        """
        self._posts = [post for post in posts if "links" in post.card]
        self._taken = {}
        for post in reversed(self._posts):
            for what, value in post.card["links"]:
                if what == "attach" and post.status == "published":
                    self._taken |= dict.fromkeys(_targets(post.path, value) - self._taken.keys(), post)

    def begin(self, context: Mapping[str, Any]) -> None:
        """Say which files are linked to, for whoever collects files."""
        self._before = {post.path: post.version for post in self._posts}
        self._follow(context)

    def settle(self, context: Mapping[str, Any]) -> list[LazyPost]:
        """Say where files will be, before anything else asks for it or moves them; where pages are is known by now.

        Returns the published posts that show something else for it than in the build before.
        """
        files = context["static_content"]
        for target, post in self._taken.items():
            if (file := files.get(target)) is not None:
                file.attach_to(post)
        for file in filter(None, map(files.get, self._linked())):
            # Asked for once it stays; who would take it along, too, links to it like everybody.
            _ = file.url
            file.attach_to = _stay
        self._follow(context)
        return [post for post in self._posts if post.status == "published" and post.version != self._before[post.path]]

    def _linked(self) -> Iterator[str]:
        for post in self._posts:
            for _, value in post.card["links"]:
                yield from _targets(post.path, value)

    def _follow(self, context: Mapping[str, Any]) -> None:
        for post in self._posts:
            # What was read of it before knew no files.
            post.put_away()
            where = sorted(repr(one) for one in self._where(post, context))
            post.version = digest(post.known, repr(where).encode())

    def _where(self, post: LazyPost, context: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        content = context["generated_content"]
        for what, value in post.card["links"]:
            for target in _targets(post.path, value):
                if what in {"static", "attach"}:
                    context["static_links"].add(target.replace("%20", " "))
                if what == "filename" and content.get(target) is not None:
                    yield value, content[target].url, ""
                else:
                    taker = self._taken.get(target)
                    yield value, str((self._base / target).exists()), taker.save_as if taker else ""


def _targets(path: str, value: str) -> set[str]:
    """The places in the content that a link of a text can mean: as it stands, or as a browser would read it."""
    links = {urlparse(way).path for way in (value, unescape(value))}
    links |= {unquote(link) for link in links}
    return {link.lstrip("/") if link.startswith("/") else _joined(path, link) for link in links}


def _joined(path: str, link: str) -> str:
    return os.path.normpath(Path(path).parent / link).replace(os.sep, "/")


def _stay(_content: object) -> None:
    """What a file does that some post takes along, when another would."""
