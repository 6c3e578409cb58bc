"""The built site, served by `undisclosed serve`; elsewhere a web server does that."""

import os
import re
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, abort, request, send_file
from werkzeug.exceptions import NotFound, RequestedRangeNotSatisfiable
from werkzeug.security import safe_join

from feedback_app.web.headers import HEADERS
from feedback_app.web.live_reload import with_reload_script

HASHED = re.compile(r"theme/.+\.[0-9a-f]{10}\.(?:css|js)|pictures/[^/]+")
# Pagefind, which searches the site, is WebAssembly.
SEARCH_POLICY = HEADERS["Content-Security-Policy"].replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")


def serve_site(app: Flask, output: Path, *, live_reload: bool) -> None:
    """Let the app serve the site's files, with live reload if it is wanted."""

    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    def site(path: str) -> Response:
        if any(piece.startswith(".") for piece in path.removeprefix(".well-known/").split("/")):
            abort(HTTPStatus.NOT_FOUND)
        if not path or path.endswith("/"):
            path += "index.html"
        try:
            page = _file(output, path)
        except NotFound:
            page = _file(output, f"{path}/index.html")
        if path.endswith(".atom.xml"):
            page.content_type = "application/atom+xml; charset=utf-8"
        # A file with its fingerprint in its name never changes.
        page.headers["Cache-Control"] = "public, max-age=31536000, immutable" if HASHED.fullmatch(path) else "no-cache"
        page.headers["Referrer-Policy"] = "same-origin"
        # Pagefind's worker obeys the policy that its own file was served with, not the page's.
        if path == "search.html" or path.startswith("pagefind/"):
            page.headers["Content-Security-Policy"] = SEARCH_POLICY
        return with_reload_script(page) if live_reload else page


def _file(output: Path, path: str) -> Response:
    """Return a file with its ETag and length (RFC 9110, sections 8.8 and 8.6). Raises NotFound.

    Size and time are read from the opened file: the builder may replace it at any moment, and a browser rejects a page
    that is sent with another version's length.
    """
    found = safe_join(str(output), path)
    if found is None:
        raise NotFound
    try:
        file = Path(found).open("rb")  # noqa: SIM115 - the response closes it
    except (OSError, ValueError) as error:
        raise NotFound from error
    status = os.fstat(file.fileno())
    page = send_file(file, download_name=Path(found).name, last_modified=status.st_mtime, conditional=False)
    page.content_length = status.st_size
    page.set_etag(f"{status.st_mtime_ns:x}-{status.st_size:x}")
    try:
        page.make_conditional(request.environ, accept_ranges=True, complete_length=status.st_size)
    except RequestedRangeNotSatisfiable:
        page.close()
        raise
    return page
