"""What a build adds to Pelican's: masked names, filters, pictures in all sizes, previews, related posts."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from pelican import signals
from pelican.contents import Article, Content, Page, Static
from pelican.generators import ArticlesGenerator
from pelican.urlwrappers import Category

from feedback_app.config import Settings
from feedback_app.images.picture_html import add_sizes
from feedback_app.publishing.content.address_leaks import ALLOW, allowed_addresses, refuse_shown
from feedback_app.publishing.content.leak_guard import desk_of
from feedback_app.publishing.content.new_post import preview_path
from feedback_app.publishing.files.assets import asset_urls
from feedback_app.publishing.masking import read_aliases
from feedback_app.publishing.pelican.compat import replace_unresolved_text, unresolved_text
from feedback_app.publishing.pelican.post_index import SLUG
from feedback_app.publishing.posts.lazy_post import LazyPost
from feedback_app.publishing.posts.related import set_related_posts
from feedback_app.publishing.render import machine_files
from feedback_app.security import keys

# Pages that are made only if the theme has templates for them.
OPTIONAL = frozenset({"404", "search"})
MASKING = "feedback_app.publishing.masking"


def register() -> None:
    """Connect to Pelican."""
    signals.content_object_init.connect(_prepare_text)


def adapt_settings(values: dict[str, Any], shop: Settings) -> None:
    """Give Pelican's settings the aliases of names, and drop the pages that the theme has no templates for.

    The aliases are masked already: no name gets as far as Pelican's settings. Raises BadAliases.
    """
    folders = [*map(Path, values["THEME_TEMPLATES_OVERRIDES"]), Path(values["THEME"]) / "templates"]
    values["DIRECT_TEMPLATES"] = [
        name
        for name in values["DIRECT_TEMPLATES"]
        if name not in OPTIONAL or any((folder / f"{name}.html").is_file() for folder in folders)
    ]
    values["MARKDOWN"] = deepcopy(values["MARKDOWN"])
    values["MARKDOWN"].setdefault("extension_configs", {})[MASKING] = {"aliases": read_aliases(shop.instance)}


def add_filters(values: dict[str, Any]) -> None:
    """Add the filters `asset` and `blog_posting`."""
    site_url, site_name = values["SITEURL"], values["SITENAME"]
    urls = asset_urls(Path(values["THEME"]))
    values["JINJA_FILTERS"]["asset"] = partial(_asset, urls)
    values["JINJA_FILTERS"]["blog_posting"] = partial(
        machine_files.blog_posting, site_url=site_url, site_name=site_name
    )


def _asset(urls: dict[str, str], name: str) -> str:
    return urls.get(name, f"/theme/{name}")


def picture_folder(shop: Settings) -> Path:
    """Return the folder of the sizes that were made of pictures."""
    return shop.instance.resolve() / "pictures"


def _prepare_text(content: Content) -> None:
    """Give a text that was read its pictures in all sizes, and refuse an address in what it shows."""
    if isinstance(content, Static) or not isinstance(content, Article | Page):
        return
    guard = desk_of(content.settings)
    shop = guard.settings
    source, base = Path(content.source_path), Path(content.settings["PATH"])
    allowed = shop.own_addresses | allowed_addresses(content.metadata.get(ALLOW))
    text, reads, pictures = add_sizes(unresolved_text(content), source, base, picture_folder(shop))
    if reads:
        guard.refuse_leaks(reads)
    refuse_shown(
        f"{text}\n{getattr(content, 'title', '')}\n{content.metadata.get('summary', '')}", allowed, str(source)
    )
    replace_unresolved_text(content, text)
    found: dict[str, Any] = {
        "reads": [str(path.relative_to(base)) for path in reads],
        "made_pictures": sorted([name, str(file)] for name, file in pictures.items()),
        "picture": next((name for name in pictures if name.endswith((".jpg", ".png"))), None),
    }
    content.metadata.update(found)
    for name, value in found.items():
        setattr(content, name, value)


def prepare_posts(generator: ArticlesGenerator) -> None:
    """Give published posts their related posts, and all others their private addresses."""
    if getattr(generator, "lists_unchanged", False):
        return
    if not all(isinstance(post, LazyPost) for post in generator.articles):
        return
    set_related_posts(reversed(generator.articles))
    key = keys.signer(desk_of(generator.settings).settings).identifier_key
    # A draft whose slug can't be a file's name has no page until the slug is mended.
    generator.drafts[:] = [draft for draft in generator.drafts if SLUG.fullmatch(draft.slug)]
    for draft in generator.drafts:
        draft.url = draft.save_as = preview_path(key, Path(draft.path), draft.slug)
        draft.preview = True
        draft.category = Category(generator.settings["DEFAULT_CATEGORY"], generator.settings)


def made_pictures(contents: list[Any]) -> dict[str, Path]:
    """Return the sizes made of the pictures of posts and pages: the files, by their names in the site."""
    files: dict[str, Path] = {}
    for content in contents:
        is_lazy = isinstance(content, LazyPost)
        pictures = content.card.get("made_pictures", ()) if is_lazy else getattr(content, "made_pictures", ())
        files |= {name: Path(file) for name, file in pictures}
    return files
