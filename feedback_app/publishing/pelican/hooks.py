"""What Pelican does for us beyond pages with threads: pictures, previews, related posts, files for machines."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from pelican import Pelican, signals
from pelican.contents import Article, Content, Page, Static
from pelican.generators import ArticlesGenerator
from pelican.urlwrappers import Category

from feedback_app.comments.threads.moved_posts import Moves
from feedback_app.comments.threads.registry import Post
from feedback_app.config import Settings
from feedback_app.images.pictures import dressed
from feedback_app.publishing.content.address_leaks import ALLOW, allowed_addresses, refuse_shown
from feedback_app.publishing.content.leak_guard import desk_of
from feedback_app.publishing.content.new_post import preview_path
from feedback_app.publishing.files.assets import asset_urls
from feedback_app.publishing.files.scan import digest
from feedback_app.publishing.files.write import write_whole
from feedback_app.publishing.incremental.lazy_post import LazyPost
from feedback_app.publishing.masking import read_aliases
from feedback_app.publishing.pelican.post_index import SLUG
from feedback_app.publishing.pelican.related import relate
from feedback_app.publishing.pelican.writer import KeyedWriter
from feedback_app.publishing.render import machine_files
from feedback_app.security import keys

# Pages that a theme may have.
OPTIONAL = frozenset({"404", "search"})
MASKING = "feedback_app.publishing.masking"


def register() -> None:
    """Connect to Pelican."""
    signals.content_object_init.connect(_dress)


def prepare(values: dict[str, Any], shop: Settings) -> None:
    """Give Markdown the aliases, masked already: no name gets as far as Pelican's settings. Raises BadAliases.

    A theme without a page of its own for what is not found, or for the search, makes none.
    """
    folders = [*map(Path, values["THEME_TEMPLATES_OVERRIDES"]), Path(values["THEME"]) / "templates"]
    values["DIRECT_TEMPLATES"] = [
        name
        for name in values["DIRECT_TEMPLATES"]
        if name not in OPTIONAL or any((folder / f"{name}.html").is_file() for folder in folders)
    ]
    values["MARKDOWN"] = deepcopy(values["MARKDOWN"])
    values["MARKDOWN"].setdefault("extension_configs", {})[MASKING] = {"aliases": read_aliases(shop.instance)}


def prepare_filters(values: dict[str, Any]) -> None:
    """Give the templates what they print for machines."""
    site_url, site_name = values["SITEURL"], values["SITENAME"]
    urls = asset_urls(Path(values["THEME"]))
    values["JINJA_FILTERS"]["asset"] = partial(_asset, urls)
    values["JINJA_FILTERS"]["blog_posting"] = partial(
        machine_files.blog_posting, site_url=site_url, site_name=site_name
    )


def _asset(urls: dict[str, str], name: str) -> str:
    return urls.get(name, f"/theme/{name}")


def cache_of(shop: Settings) -> Path:
    """Where made pictures are kept."""
    return shop.instance.resolve() / "pictures"


def _dress(content: Content) -> None:
    """When a text was read: its pictures in all their sizes; no address in what it shows."""
    if isinstance(content, Static) or not isinstance(content, Article | Page):
        return
    desk = desk_of(content.settings)
    shop = desk.settings
    source, base = Path(content.source_path), Path(content.settings["PATH"])
    allowed = shop.own_addresses | allowed_addresses(content.metadata.get(ALLOW))
    text, reads, brings = dressed(content._content or "", source, base, cache_of(shop))  # noqa: SLF001 - Pelican has no other
    if reads:
        desk.refuse_leaks(reads)
    refuse_shown(
        f"{text}\n{getattr(content, 'title', '')}\n{content.metadata.get('summary', '')}", allowed, str(source)
    )
    content._content = text  # noqa: SLF001 - the same
    found: dict[str, Any] = {
        "reads": [str(path.relative_to(base)) for path in reads],
        "brings": sorted([name, str(file)] for name, file in brings.items()),
        "picture": next((name for name in brings if name.endswith((".jpg", ".png"))), None),
    }
    content.metadata.update(found)
    for name, value in found.items():
        setattr(content, name, value)


def dress_articles(generator: ArticlesGenerator) -> None:
    """Give published posts what their pages show of others, and the rest their private places, where they have none."""
    if getattr(generator, "as_before", False) or not all(isinstance(post, LazyPost) for post in generator.articles):
        return
    relate(reversed(generator.articles))
    key = keys.signer(desk_of(generator.settings).settings).identifier_key
    # What can't be a file's name can't be shown before it is mended.
    generator.drafts[:] = [draft for draft in generator.drafts if SLUG.fullmatch(draft.slug)]
    for draft in generator.drafts:
        draft.url = draft.save_as = preview_path(key, Path(draft.path), draft.slug)
        draft.preview = True
        draft.category = Category(generator.settings["DEFAULT_CATEGORY"], generator.settings)


def brought(contents: list[Any]) -> dict[str, Path]:
    """The made pictures that posts and pages need, by their names in the site."""
    found: dict[str, Path] = {}
    for one in contents:
        pictures = one.card.get("brings", ()) if isinstance(one, LazyPost) else getattr(one, "brings", ())
        found |= {name: Path(file) for name, file in pictures}
    return found


def write_extras(pelican: Pelican, generators: list[Any], writer: KeyedWriter) -> None:
    """The site's map, the rules for robots, and whom to tell of a flaw."""
    values, output = pelican.settings, Path(pelican.output_path)
    site_url = values["SITEURL"]
    posts, pages, lists = [], [], []
    for generator in generators:
        if isinstance(generator, ArticlesGenerator):
            posts += _mapped(generator)
            lists += [f"/{month.url}" for month in getattr(generator, "months", ())]
            lists += [f"/{tag.url}" for tag in dict(generator.tags)]
        pages += [f"/{page.url}" for page in getattr(generator, "pages", ())]
    mapped = [
        ("/", ""),
        ("/archives.html", ""),
        *((path, "") for path in sorted(pages) + sorted(lists)),
        *posts,
    ]
    writer.write_made(
        "sitemap.xml", digest(repr(mapped).encode()), lambda: machine_files.sitemap(site_url, mapped).encode()
    )
    write_whole(output / "robots.txt", machine_files.robots(site_url).encode())
    if contact := values.get("SECURITY_CONTACT"):
        text = machine_files.security(site_url, contact, values["SECURITY_EXPIRES"])
        write_whole(output / ".well-known" / "security.txt", text.encode())


def _mapped(generator: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - ours, or Pelican's own
    """The posts' addresses with the days of their latest change; while no list changes, those of the build before."""
    known: list[tuple[str, str]] | None = getattr(generator, "mapped", None)
    if known is None:
        known = generator.mapped = sorted((f"/{post.url}", _day(post)) for post in generator.articles)
    return known


def write_redirects(pelican: Pelican, moves: Moves, posts: dict[str, Post]) -> None:
    """The pages at old addresses, which lead to where their posts are now."""
    for old, new in moves.leads_to.items():
        page = machine_files.moved_page(new, posts[new].title, pelican.settings["SITEURL"])
        # An address that ends in a slash, as other systems have them, is a folder's.
        file = f"{old}index.html" if old.endswith("/") else old
        write_whole(Path(pelican.output_path) / file.lstrip("/"), page.encode())


def _day(post: Any) -> str:  # noqa: ANN401 - Pelican's article, or a listed one
    if isinstance(post, LazyPost):
        return str(post.card.get("modified") or post.card["date"])[:10]
    return f"{getattr(post, 'modified', post.date):%Y-%m-%d}"
