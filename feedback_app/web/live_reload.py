"""Pages that follow their writer: under `serve`, on this machine, in a browser that has asked for it.

Nothing of it is in what is published: the script is put into a page while it is handed out, and only where the browser
has the cookie, which a button sets.
"""

from http import HTTPStatus

from flask import Blueprint, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from markupsafe import escape

from feedback_app.web.forms import ButtonForm
from feedback_app.web.headers import keep_private

COOKIE = "follow"
PAGE = "/feedback/reload/"
# Asks for the page's own tag (RFC 9110, 8.8.3), which changes with its file.
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
    """The page with the button, and the script; registered only where the server is bound to loopback."""
    pages = Blueprint("reloading", __name__, url_prefix=PAGE.rstrip("/"))
    pages.after_request(keep_private)

    @pages.route("/", methods=["GET", "POST"])
    def switch() -> ResponseReturnValue:
        form, on = ButtonForm(), COOKIE in request.cookies
        if not form.validate_on_submit():
            page = render_template("reload.html", form=form, on=on)
            return page, HTTPStatus.BAD_REQUEST if form.is_submitted() else HTTPStatus.OK
        answer = make_response(render_template("reload.html", form=form, on=not on))
        if on:
            answer.delete_cookie(COOKIE)
        else:
            answer.set_cookie(COOKIE, "1", httponly=True, samesite="Strict")
        return answer

    @pages.get("/page.js")
    def script() -> Response:
        return Response(_SCRIPT, content_type="text/javascript; charset=utf-8")

    return pages


def followed(page: Response) -> Response:
    """The page, with the script in it where this browser has asked for it."""
    whole = page.mimetype == "text/html" and page.status_code == HTTPStatus.OK
    if COOKIE in request.cookies and request.method == "GET" and whole:
        page.direct_passthrough = False
        script = (
            f'<script src="{PAGE}page.js" data-tag="{escape(page.headers.get("ETag", ""))}" defer></script>\n</body>'
        )
        page.set_data(page.get_data().replace(b"</body>", script.encode()))
    return page
