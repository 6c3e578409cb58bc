"""A post's card: what lists show of it, as plain data that the build cache can hold."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup
from pelican.contents import Article, Category

# Copied into the card as text.
_COPIED = ("title", "url", "save_as", "slug", "status", "lang", "locale_date", "source_path", "template", "timezone")
# Values of `Announce:` in a head that ask for a letter about the post.
_YES = frozenset({"yes", "true", "1"})
_MAX_ANNOUNCED_SUMMARY = 600


def make_card(article: Article, links: list[list[str]]) -> dict[str, Any]:
    """Return the card of a whole article; `links` are its links to other files of the content."""
    card: dict[str, Any] = {name: str(getattr(article, name)) for name in _COPIED}
    card["at"] = article.date.timestamp()
    # In the shop's own zone the card has the wall clock's time; the zone is in `timezone`.
    in_shop_zone = isinstance(article.date.tzinfo, ZoneInfo)
    card["date"] = (article.date.replace(tzinfo=None) if in_shop_zone else article.date).isoformat()
    if hasattr(article, "author"):
        card["author"] = article.author.name
    if hasattr(article, "tags"):
        card["tags"] = [tag.name for tag in article.tags]
    card |= {
        name: article.metadata[name] for name in ("announce", "made_pictures", "picture") if article.metadata.get(name)
    }
    if links:
        card["links"] = links
    elif isinstance(article.metadata.get("summary"), str):
        # A summary may hold links that depend on other files; only one without any is the same in every list.
        card["summary"] = article.metadata["summary"]
    if article.metadata.get("reads"):
        reads = article.metadata["reads"]
        card["reads"] = [reads] if isinstance(reads, str) else [str(item) for item in reads]
    if hasattr(article, "modified"):
        card["modified"] = article.modified.isoformat()
    if hasattr(article, "category") and isinstance(article.category, Category):
        card["category"] = article.category.name
    # Until its date, a post is a draft.
    if article.date > datetime.now(tz=article.date.tzinfo):
        card["awaited"] = True
    return card


def announcement_summary(article: Any) -> str | None:  # noqa: ANN401 - Pelican's article has no type
    """Return the summary for the letter that announces a post; None unless the post's head asks for one."""
    if str(getattr(article, "announce", None)).strip().lower() not in _YES or article.status != "published":
        return None
    # For a letter, not for a page, and without any tag.
    return " ".join(Markup(str(article.summary)).striptags().split())[:_MAX_ANNOUNCED_SUMMARY]  # noqa: S704
