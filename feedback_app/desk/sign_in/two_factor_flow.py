"""Between the password and the second factor: reading a page neither signs out nor loses the first step."""

from flask import Flask, Response, g, redirect, request
from flask import session as cookie
from flask.typing import ResponseReturnValue
from flask_security import current_user

# Flask-Security treats a signed-in browser's request for one of these pages as an attack: it signs the owner out, or
# forgets the first step.
SECOND_STEP_ENDPOINTS = {
    "security.two_factor_token_validation",
    "security.tf_select",
    "security.mf_recovery",
    "security.wan_signin",
    "security.wan_signin_response",
}
# Flask-Security's session keys for an owner who has given the password begin with this.
FIRST_STEP_PREFIX = "tf_"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
MESSAGES = {
    "TWO_FACTOR_PERMISSION_DENIED": ("That was begun anew elsewhere, or too long ago: sign in from the start.", "error")
}


def keep_half_signed_in(app: Flask, home: str) -> None:
    """Send signed-in owners from the sign-in pages to `home`, and restore the first step after a safe request."""

    def redirect_if_signed_in() -> ResponseReturnValue | None:
        if request.endpoint in SECOND_STEP_ENDPOINTS and current_user.is_authenticated:
            return redirect(home, code=303)
        if request.method in SAFE_METHODS:
            g.first_step = _first_step()
        return None

    def restore_first_step(response: Response) -> Response:
        if "first_step" in g and _first_step() != g.first_step:
            cookie.update(g.first_step)
        return response

    app.before_request_funcs.setdefault("security", []).append(redirect_if_signed_in)
    app.after_request_funcs.setdefault("security", []).append(restore_first_step)


def _first_step() -> dict[str, object]:
    return {key: value for key, value in cookie.items() if key.startswith(FIRST_STEP_PREFIX)}
