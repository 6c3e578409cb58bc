"""Files of a build that no template makes: the sitemap, robots.txt, security.txt, and pages at old addresses."""

from pathlib import Path
from typing import Any

from pelican import Pelican
from pelican.generators import ArticlesGenerator

from feedback_app.comments.threads.moved_posts import Moves
from feedback_app.comments.threads.registry import Post
from feedback_app.publishing.files.scan import digest
from feedback_app.publishing.files.write import write_whole
from feedback_app.publishing.pelican.writer import KeyedWriter
from feedback_app.publishing.posts.lazy_post import LazyPost
from feedback_app.publishing.render import machine_files


def write_extra_files(pelican: Pelican, generators: list[Any], writer: KeyedWriter) -> None:
    """Write the sitemap, robots.txt and, if a contact is set, security.txt."""
    values, output = pelican.settings, Path(pelican.output_path)
    site_url = values["SITEURL"]
    posts, pages, lists = [], [], []
    for generator in generators:
        if isinstance(generator, ArticlesGenerator):
            posts += _sitemap_entries(generator)
            lists += [f"/{month.url}" for month in getattr(generator, "months", ())]
            lists += [f"/{tag.url}" for tag in dict(generator.tags)]
        pages += [f"/{page.url}" for page in getattr(generator, "pages", ())]
    entries = [
        ("/", ""),
        ("/archives.html", ""),
        *((path, "") for path in sorted(pages) + sorted(lists)),
        *posts,
    ]
    key = digest(repr(entries).encode())
    writer.write_generated("sitemap.xml", key, lambda: machine_files.sitemap(site_url, entries).encode())
    write_whole(output / "robots.txt", machine_files.robots(site_url).encode())
    if contact := values.get("SECURITY_CONTACT"):
        text = machine_files.security(site_url, contact, values["SECURITY_EXPIRES"])
        write_whole(output / ".well-known" / "security.txt", text.encode())


def _sitemap_entries(generator: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - ours, or Pelican's own
    """Return the posts' addresses, each with the day of its latest change, kept as long as no list changes."""
    entries: list[tuple[str, str]] | None = getattr(generator, "sitemap_entries", None)
    if entries is None:
        entries = sorted((f"/{post.url}", _day(post)) for post in generator.articles)
        generator.sitemap_entries = entries
    return entries


def _day(post: Any) -> str:  # noqa: ANN401 - Pelican's article, or a lazy post
    if isinstance(post, LazyPost):
        return str(post.card.get("modified") or post.card["date"])[:10]
    return f"{getattr(post, 'modified', post.date):%Y-%m-%d}"


def write_redirects(pelican: Pelican, moves: Moves, posts: dict[str, Post]) -> None:
    """Write pages at the old addresses of posts, which lead to the new ones."""
    for old, new in moves.leads_to.items():
        page = machine_files.moved_page(new, posts[new].title, pelican.settings["SITEURL"])
        # Other systems have addresses that end in a slash; there the page is a folder's.
        file = f"{old}index.html" if old.endswith("/") else old
        write_whole(Path(pelican.output_path) / file.lstrip("/"), page.encode())
