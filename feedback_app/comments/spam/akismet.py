"""Asking a spam service that speaks Akismet's language, where the owner has chosen one. Off unless they have."""

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlencode, urlsplit

SECONDS = 3.0
SPAM = "the spam service says that it is spam"
SILENT = "the spam service did not answer"


def ask(
    url: str, *, site_url: str, author: str, text: str, page: str, network_address: str, browser: str
) -> str | None:
    """What the service has against a comment, as a reason, or None. The commenter's e-mail address is never told."""
    parts = urlsplit(url)
    place = parts.hostname if parts.port is None else f"{parts.hostname}:{parts.port}"
    said = urlencode(
        {
            "api_key": parts.username,
            "blog": site_url,
            "user_ip": network_address,
            "user_agent": browser,
            "permalink": page,
            "comment_type": "comment",
            "comment_author": author,
            "comment_content": text,
        }
    )
    request = urllib.request.Request(  # noqa: S310 - the settings let only http and https through
        f"{parts.scheme}://{place}/1.1/comment-check", data=said.encode(), headers={"User-Agent": "Undisclosed/0.1"}
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310 - as above
            word = answer.read(100).strip()
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return SILENT
    return {b"false": None, b"true": SPAM}.get(word, SILENT)
