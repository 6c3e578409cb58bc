"""Live reload: pages that load again when their file changes, under `serve` on this machine.

Nothing of it is published: the script is added to a page as it is served, and only for a browser with the cookie that
a button sets.
"""

from http import HTTPStatus

from flask import Blueprint, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import escape

from feedback_app.web.forms import ButtonForm
from feedback_app.web.headers import keep_private

COOKIE = "follow"
RELOAD_PAGE = "/feedback/reload/"
# Asks for the page's ETag (RFC 9110, section 8.8.3), which changes with its file.
_SCRIPT = """(() => {
  const known = document.currentScript.dataset.tag;
  const ask = async () => {
    try {
      const tag = (await fetch(location.pathname, { method: "HEAD", cache: "no-store" })).headers.get("ETag");
      if (tag && tag !== known) {
        location.reload();
        return;
      }
    } catch {}
    setTimeout(ask, 500);
  };
  ask();
})();
"""


def reload_pages() -> Blueprint:
    """Return the page with the button, and the script; registered only where the server is bound to loopback."""
    pages = Blueprint("reloading", __name__, url_prefix=RELOAD_PAGE.rstrip("/"))
    pages.after_request(keep_private)

    @pages.route("/", methods=["GET", "POST"])
    def switch() -> ResponseReturnValue:
        form, is_on = ButtonForm(), COOKIE in request.cookies
        if not form.validate_on_submit():
            page = render_template("reload.html", form=form, on=is_on)
            return page, HTTPStatus.BAD_REQUEST if form.is_submitted() else HTTPStatus.OK
        response = make_response(render_template("reload.html", form=form, on=not is_on))
        if is_on:
            response.delete_cookie(COOKIE)
        else:
            response.set_cookie(COOKIE, "1", httponly=True, samesite="Strict")
        return response

    @pages.get("/page.js")
    def script() -> Response:
        return Response(_SCRIPT, content_type="text/javascript; charset=utf-8")

    return pages


def with_reload_script(response: Response) -> Response:
    """Add the script to a page of the blog, if this browser has the cookie."""
    is_page = response.mimetype == "text/html" and response.status_code == HTTPStatus.OK
    if COOKIE in request.cookies and request.method == "GET" and is_page:
        response.direct_passthrough = False
        tag = escape(response.headers.get("ETag", ""))
        script = f'<script src="{RELOAD_PAGE}page.js" data-tag="{tag}" defer></script>\n</body>'
        response.set_data(response.get_data().replace(b"</body>", script.encode()))
    return response
