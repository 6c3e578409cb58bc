"""The built site as `undisclosed serve` gives it out; elsewhere a web server does that."""

import os
import re
from http import HTTPStatus
from pathlib import Path

from flask import Flask, Response, abort, request, send_file
from werkzeug.exceptions import NotFound, RequestedRangeNotSatisfiable
from werkzeug.security import safe_join

from feedback_app.web.headers import HEADERS
from feedback_app.web.live_reload import followed

HASHED = re.compile(r"theme/.+\.[0-9a-f]{10}\.(?:css|js)|pictures/[^/]+")
# The search reads its index, which is a program for the browser (WebAssembly).
SEARCH_POLICY = HEADERS["Content-Security-Policy"].replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")


def serve_site(app: Flask, output: Path, *, follows: bool) -> None:
    """Let the app answer with the site's files, and let pages follow their writer where that is wanted."""

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
        # Its worker is a program of its own, with the policy that it came with.
        if path == "search.html" or path.startswith("pagefind/"):
            page.headers["Content-Security-Policy"] = SEARCH_POLICY
        return followed(page) if follows else page


def _file(output: Path, path: str) -> Response:
    """A file as it is at this moment, with its tag and length (RFC 9110, 8.6 and 8.8). Raises NotFound.

    Everything is asked of the file that was opened: the publisher may put another in its place at any time, and a page
    that is told with the length of its forerunner reaches nobody.
    """
    where = safe_join(str(output), path)
    if where is None:
        raise NotFound
    try:
        file = Path(where).open("rb")  # noqa: SIM115 - the answer closes it
    except (OSError, ValueError) as error:
        raise NotFound from error
    known = os.fstat(file.fileno())
    page = send_file(file, download_name=Path(where).name, last_modified=known.st_mtime, conditional=False)
    page.content_length = known.st_size
    page.set_etag(f"{known.st_mtime_ns:x}-{known.st_size:x}")
    try:
        page.make_conditional(request.environ, accept_ranges=True, complete_length=known.st_size)
    except RequestedRangeNotSatisfiable:
        page.close()
        raise
    return page
