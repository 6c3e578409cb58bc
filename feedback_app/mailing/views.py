"""Pages that show the outbox, for trying the shop out: only on this machine, only with the outbox transport."""

import base64
import hashlib
import re
from html import unescape
from pathlib import Path

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue

from feedback_app.mailing.letters.parsed import ParsedLetter, parse_letter
from feedback_app.web.headers import HEADERS, keep_private

MOST_LISTED = 200
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_NAME = re.compile(r"[0-9T]{10,30}-[0-9a-f]{8}\.eml")
_INLINE = re.compile(r'(?<=[\w"]) style="([^"<>{}]*)"')
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


def outbox_pages(folder: Path) -> Blueprint:
    """Return the pages of an outbox folder. Only register them if the server is bound to loopback."""
    pages = Blueprint("outbox", __name__, url_prefix="/outbox")
    pages.after_request(keep_private)

    @pages.before_request
    def only_on_this_machine() -> None:
        # The Host is checked, too: a foreign page's name could point to this machine (DNS rebinding).
        host = request.host.rpartition(":")[0] if re.search(r":\d+$", request.host) else request.host
        if host not in LOOPBACK_HOSTS:
            abort(404)

    @pages.get("/", strict_slashes=False)
    def index() -> str:
        names = sorted((path.name for path in folder.glob("*.eml") if _NAME.fullmatch(path.name)), reverse=True)
        letters = [_read_letter(folder, name) for name in names[:MOST_LISTED]]
        return render_template("outbox/index.html", letters=letters, count=len(names))

    @pages.get("/<name>")
    def letter(name: str) -> ResponseReturnValue:
        page = Response(render_template("outbox/letter.html", letter=_read_letter(folder, name)))
        page.headers["Content-Security-Policy"] = HEADERS["Content-Security-Policy"] + "; frame-src 'self'"
        return page

    @pages.get("/<name>/html")
    def html(name: str) -> ResponseReturnValue:
        parsed = _read_letter(folder, name)
        if parsed.html is None:
            abort(404)
        # A browser hashes a style sheet after its parser has made line feeds of CRLF (HTML, 13.2.3.5).
        letter = _styles_to_sheet(parsed.html.replace("\r\n", "\n"))
        # A link in the framed letter opens in the whole window, as it would from a mail program.
        page = Response(letter.replace("<head>", '<head><base target="_top">', 1))
        page.headers["Content-Security-Policy"] = (
            f"default-src 'none'; img-src 'self' https: http:; style-src {_style_hashes(letter)}; "
            "frame-ancestors 'self'; sandbox allow-top-navigation-by-user-activation"
        )
        page.headers["X-Frame-Options"] = "SAMEORIGIN"
        return page

    return pages


def _styles_to_sheet(html: str) -> str:
    """Move a letter's inlined styles into its style sheet, which the page's policy allows by its hash."""
    rules = dict.fromkeys(_INLINE.findall(html))
    numbers = {rule: f"s{number}" for number, rule in enumerate(rules)}
    sheet = "\n".join(f"[data-style={number}] {{ {unescape(rule)} }}" for rule, number in numbers.items())
    html = _INLINE.sub(lambda match: f' data-style="{numbers[match[1]]}"', html)
    return html.replace("<style>", f"<style>{sheet}\n", 1)


def _style_hashes(html: str) -> str:
    """Return the sources for `style-src` that allow exactly these style sheets."""
    digests = (base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() for style in _STYLE.findall(html))
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"


def _read_letter(folder: Path, name: str) -> ParsedLetter:
    """Return a letter of the outbox; a name that is none ends the request with 404."""
    if not _NAME.fullmatch(name):
        abort(404)
    try:
        data = (folder / name).read_bytes()
    except OSError:
        abort(404)
    return parse_letter(data, name)
