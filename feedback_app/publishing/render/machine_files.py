"""What a site has beside its pages, for machines: data about a post, a map, rules for robots, a contact."""

import json
from collections.abc import Iterable
from html import escape
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from feedback_app.clock import rfc3339
from feedback_app.comments.markup.sanitizer import visible_text
from feedback_app.comments.models import ShownComment

MOVED = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta http-equiv="refresh" content="0; url={path}">
<link rel="canonical" href="{site_url}{path}">
<link rel="stylesheet" href="/theme/css/site.css">
</head>
<body>
<main class="wrap">
<h1>{title}</h1>
<p>This has moved: <a href="{path}">{site_url}{path}</a></p>
</main>
</body>
</html>
"""


def blog_posting(article: Any, site_url: str, site_name: str) -> Markup:  # noqa: ANN401 - Pelican has no types
    """A post as schema.org describes one (JSON-LD 1.1); its comments follow in the thread's own piece."""
    modified = getattr(article, "modified", None)
    picture = getattr(article, "picture", None)
    url = f"{site_url}/{quote(article.url)}"
    return json_ld(
        {
            "@id": url,
            "@type": "BlogPosting",
            "headline": str(article.title),
            "url": url,
            "mainEntityOfPage": url,
            "datePublished": article.date.isoformat(),
            **({"dateModified": modified.isoformat()} if modified else {}),
            "author": {"@type": "Organization", "name": str(article.author), "url": f"{site_url}/"},
            "publisher": {"@type": "Organization", "name": site_name, "url": f"{site_url}/"},
            **({"image": f"{site_url}/{picture}"} if picture else {}),
            **({"keywords": [str(tag) for tag in article.tags]} if getattr(article, "tags", None) else {}),
        }
    )


def comments_data(path: str, comments: Iterable[ShownComment], site_url: str) -> Markup:
    """What was said about a post, for machines: the same post by its `@id`, with its comments."""
    url = f"{site_url}{quote(path)}"
    said = [
        {
            "@type": "Comment",
            "url": f"{url}#comment-{comment.id}",
            "author": {"@type": "Person", "name": comment.author},
            "dateCreated": rfc3339(comment.created_at),
            "text": visible_text(comment.html),
        }
        for comment in comments
    ]
    if not said:
        return Markup()
    data = json_ld({"@id": url, "@type": "BlogPosting", "commentCount": len(said), "comment": said})
    return Markup('<script type="application/ld+json">{}</script>').format(data)


def json_ld(data: dict[str, Any]) -> Markup:
    """Data as it may stand in a page: nothing in it can end its element or begin a comment."""
    text = json.dumps({"@context": "https://schema.org", **data}, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704 - escaped


def sitemap(site_url: str, pages: Iterable[tuple[str, str]]) -> str:
    """The site's map (sitemaps.org): every page's path, and the day on which it last changed, if that is known."""
    lines = [
        f"<url><loc>{escape(site_url + quote(path))}</loc>{f'<lastmod>{day}</lastmod>' if day else ''}</url>\n"
        for path, day in pages
    ]
    head = '<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    return f"{head}{''.join(lines)}</urlset>\n"


def robots(site_url: str) -> str:
    """The rules for robots (RFC 9309): everything but the forms, and where the map is."""
    return f"User-agent: *\nDisallow: /feedback/\n\nSitemap: {site_url}/sitemap.xml\n"


def security(site_url: str, contact: str, expires: str) -> str:
    """Whom to tell of a flaw (RFC 9116)."""
    contact = contact if ":" in contact else f"{site_url}{contact}"
    return (
        f"Contact: {contact}\nExpires: {expires}\nPreferred-Languages: en\n"
        f"Canonical: {site_url}/.well-known/security.txt\n"
    )


def moved_page(path: str, title: str, site_url: str) -> str:
    """The page at a post's old address: leads on by itself, and by a link."""
    return MOVED.format(path=escape(quote(path)), title=escape(title), site_url=escape(site_url))
