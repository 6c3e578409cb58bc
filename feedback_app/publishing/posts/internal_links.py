"""Links of posts to other files of the content: where each leads, and which post a file is published beside.

`{filename}` links to another text, `{static}` to a file where it is, `{attach}` has the file published beside the post.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from feedback_app.publishing.files.scan import digest
from feedback_app.publishing.posts.lazy_post import LazyPost


class InternalLinks:
    """The links of all posts. What a text shows of the files it links to is part of its post's version."""

    def __init__(self, base: Path, pin: Callable[[Any], None]) -> None:
        """`base` is the content folder; `pin` keeps a file of Pelican's where it is."""
        self._base = base
        self._pin = pin
        self._posts: list[LazyPost] = []
        # Which post a file is published beside, by the file's path in the content.
        self._attached_to: dict[str, LazyPost] = {}
        self._previous_versions: dict[str, bytes] = {}

    def set_posts(self, posts: Iterable[LazyPost]) -> None:
        """Take all posts, the newest first.

        Where several attach a file it goes with the oldest, so that a file's address never changes for a newer post. A
        post that is not published attaches nothing: it would hide a public file behind its private link.
        """
        self._posts = [post for post in posts if "links" in post.card]
        self._attached_to = {}
        for post in reversed(self._posts):
            for kind, value in post.card["links"]:
                if kind == "attach" and post.status == "published":
                    new = _targets(post.path, value) - self._attached_to.keys()
                    self._attached_to |= dict.fromkeys(new, post)

    def start_build(self, context: Mapping[str, Any]) -> None:
        """Tell Pelican which files are linked to, before it collects them."""
        self._previous_versions = {post.path: post.version for post in self._posts}
        self._update_versions(context)

    def resolve(self, context: Mapping[str, Any]) -> list[LazyPost]:
        """Decide where linked files go, once Pelican has collected them and before anything asks for their addresses.

        Returns the published posts whose texts show something else for it than in the build before.
        """
        files = context["static_content"]
        for target, post in self._attached_to.items():
            if (file := files.get(target)) is not None:
                file.attach_to(post)
        for file in filter(None, map(files.get, self._linked_paths())):
            self._pin(file)
        self._update_versions(context)
        return [
            post
            for post in self._posts
            if post.status == "published" and post.version != self._previous_versions[post.path]
        ]

    def _linked_paths(self) -> Iterator[str]:
        for post in self._posts:
            for _, value in post.card["links"]:
                yield from _targets(post.path, value)

    def _update_versions(self, context: Mapping[str, Any]) -> None:
        for post in self._posts:
            # An article that was loaded before has the addresses that files had then.
            post.unload()
            destinations = sorted(repr(each) for each in self._destinations(post, context))
            post.version = digest(post.file_digest, repr(destinations).encode())

    def _destinations(self, post: LazyPost, context: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
        texts = context["generated_content"]
        for kind, value in post.card["links"]:
            for target in _targets(post.path, value):
                if kind in {"static", "attach"}:
                    context["static_links"].add(target.replace("%20", " "))
                if kind == "filename" and texts.get(target) is not None:
                    yield value, texts[target].url, ""
                else:
                    beside = self._attached_to.get(target)
                    yield value, str((self._base / target).exists()), beside.save_as if beside else ""


def _targets(path: str, value: str) -> set[str]:
    """Return the files of the content that a link can mean: as it is written, and as a browser would decode it."""
    links = {urlparse(each).path for each in (value, unescape(value))}
    links |= {unquote(link) for link in links}
    return {link.lstrip("/") if link.startswith("/") else _joined(path, link) for link in links}


def _joined(path: str, link: str) -> str:
    return os.path.normpath(Path(path).parent / link).replace(os.sep, "/")
