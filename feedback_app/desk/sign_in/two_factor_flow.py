"""Between the password and the second factor: a look at a page takes nobody out, and back to no beginning."""

from flask import Flask, Response, g, redirect, request
from flask import session as cookie
from flask.typing import ResponseReturnValue
from flask_security import current_user

# The pages of signing in. Flask-Security takes a look at one of them by somebody who is in for an attack: it signs them
# out, or forgets what was begun.
WAY_IN = {
    "security.two_factor_token_validation",
    "security.tf_select",
    "security.mf_recovery",
    "security.wan_signin",
    "security.wan_signin_response",
}
# What it keeps of somebody who has given a password begins with this.
BEGUN = "tf_"
LOOKS = {"GET", "HEAD", "OPTIONS"}
SAID = {
    "TWO_FACTOR_PERMISSION_DENIED": ("That was begun anew elsewhere, or too long ago: sign in from the start.", "error")
}


def keep_the_way(app: Flask, home: str) -> None:
    """Lead who is signed in past the pages of signing in, to `home`; let looking at a page change nothing."""

    def who_is_in_goes_home() -> ResponseReturnValue | None:
        if request.endpoint in WAY_IN and current_user.is_authenticated:
            return redirect(home, code=303)
        if request.method in LOOKS:
            g.begun = _begun()
        return None

    def put_back(answer: Response) -> Response:
        if "begun" in g and _begun() != g.begun:
            cookie.update(g.begun)
        return answer

    app.before_request_funcs.setdefault("security", []).append(who_is_in_goes_home)
    app.after_request_funcs.setdefault("security", []).append(put_back)


def _begun() -> dict[str, object]:
    return {key: value for key, value in cookie.items() if key.startswith(BEGUN)}
