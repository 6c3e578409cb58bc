"""Signing in: Flask-Security, fitted to the house."""

from typing import cast

from flask import Flask, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_security import Security

from feedback_app.desk import services
from feedback_app.desk.sign_in.accounts import Accounts
from feedback_app.desk.sign_in.codes import RECOVERY_CODES, Codes, RecoveryCodes
from feedback_app.desk.sign_in.passkey_forms import SAID, NewPasskeyForm, PasskeyForm, PasskeyNameForm, Passkeys
from feedback_app.desk.sign_in.security_mail import Notices
from feedback_app.desk.sign_in.sessions import keep_record, keep_sessions
from feedback_app.desk.sign_in.sign_in_forms import FactorForm, RescueForm, SignInForm, WhichForm
from feedback_app.desk.sign_in.two_factor_flow import SAID as SAID_HALF_WAY
from feedback_app.desk.sign_in.two_factor_flow import keep_the_way
from feedback_app.security.crypto import derive
from feedback_app.web.app_state import AppState

PREFIX = "/feedback/admin"
# The blueprints of the owner's pages, and Flask-Security's own.
SIGNED_IN = ("security", "owner", "moderation", "posts")


def prepare_sign_in(app: Flask) -> Security:
    """Add signing in to an app that has its house."""
    at: AppState = app.extensions["undisclosed"]
    app.config.update(
        # It would write into everybody's session, readers' and customers' too; the owner's sessions are kept in the
        # store, listed, and ended there.
        SESSION_PROTECTION=None,
        SECURITY_URL_PREFIX=PREFIX,
        SECURITY_STATIC_FOLDER=None,
        # What these pages say to caches is what all of the app say; its own header is malformed.
        SECURITY_CACHE_CONTROL=None,
        SECURITY_LOGIN_URL="/sign-in",
        SECURITY_LOGOUT_URL="/sign-out",
        SECURITY_LOGOUT_CSRF=True,
        SECURITY_CHANGE_URL="/password",
        SECURITY_VERIFY_URL="/again",
        SECURITY_TWO_FACTOR_SETUP_URL="/second-factor",
        SECURITY_TWO_FACTOR_TOKEN_VALIDATION_URL="/code",  # noqa: S106 - an address
        SECURITY_TWO_FACTOR_RESCUE_URL="/no-code",
        SECURITY_TWO_FACTOR_SELECT_URL="/which-factor",
        SECURITY_MULTI_FACTOR_RECOVERY_CODES_URL="/recovery-codes",
        SECURITY_MULTI_FACTOR_RECOVERY_URL="/recovery",
        SECURITY_WEBAUTHN=True,
        SECURITY_WAN_RP_NAME=at.settings.shop_name,
        SECURITY_WAN_REGISTER_URL="/passkeys",
        SECURITY_WAN_DELETE_URL="/passkeys/remove",
        SECURITY_WAN_SIGNIN_URL="/passkey",
        SECURITY_WAN_VERIFY_URL="/passkey-again",
        # Besides a password, not instead of it.
        SECURITY_WAN_ALLOW_AS_FIRST_FACTOR=False,
        SECURITY_WAN_ALLOW_AS_MULTI_FACTOR=False,
        SECURITY_WAN_ALLOW_AS_VERIFY=["secondary"],
        SECURITY_POST_LOGIN_VIEW=f"{PREFIX}/",
        SECURITY_POST_LOGOUT_VIEW=f"{PREFIX}/sign-in",
        SECURITY_POST_CHANGE_VIEW=f"{PREFIX}/account",
        SECURITY_TWO_FACTOR_POST_SETUP_VIEW=f"{PREFIX}/account",
        SECURITY_USER_IDENTITY_ATTRIBUTES=[{"username": {"mapper": lambda name: name, "case_insensitive": True}}],
        SECURITY_CHANGEABLE=True,
        SECURITY_PASSWORD_SCHEMES=["argon2"],
        SECURITY_PASSWORD_SINGLE_HASH={"argon2"},
        SECURITY_PASSWORD_LENGTH_MIN=services.SHORTEST_PASSWORD,
        SECURITY_TWO_FACTOR=True,
        SECURITY_TWO_FACTOR_REQUIRED=True,
        SECURITY_TWO_FACTOR_ENABLED_METHODS=["authenticator"],
        SECURITY_TWO_FACTOR_RESCUE_EMAIL=False,
        # Seconds: a clock may be half a minute off.
        SECURITY_TWO_FACTOR_AUTHENTICATOR_VALIDITY=30,
        SECURITY_MULTI_FACTOR_RECOVERY_CODES=True,
        SECURITY_MULTI_FACTOR_RECOVERY_CODES_N=RECOVERY_CODES,
        SECURITY_TOTP_SECRETS={"1": derive(at.signer.identifier_key, "second factor").hex()},
        SECURITY_TOTP_ISSUER=at.settings.shop_name.replace(":", " "),
        SECURITY_CLI_USERS_NAME=None,
        SECURITY_CLI_ROLES_NAME=None,
        SECURITY_LOGIN_USER_TEMPLATE="desk/sign_in.html",
        SECURITY_LOGOUT_USER_TEMPLATE="desk/sign_out.html",
        SECURITY_CHANGE_PASSWORD_TEMPLATE="desk/password.html",  # noqa: S106 - a template
        SECURITY_VERIFY_TEMPLATE="desk/again.html",
        SECURITY_TWO_FACTOR_SETUP_TEMPLATE="desk/second_factor.html",
        SECURITY_TWO_FACTOR_VERIFY_CODE_TEMPLATE="desk/code.html",
        SECURITY_TWO_FACTOR_SELECT_TEMPLATE="desk/which_factor.html",
        SECURITY_WAN_REGISTER_TEMPLATE="desk/passkeys.html",
        SECURITY_WAN_SIGNIN_TEMPLATE="desk/passkey.html",
        SECURITY_MULTI_FACTOR_RECOVERY_CODES_TEMPLATE="desk/recovery_codes.html",
        SECURITY_MULTI_FACTOR_RECOVERY_TEMPLATE="desk/recovery.html",
    )
    app.config.update({f"SECURITY_MSG_{name}": said for name, said in (SAID | SAID_HALF_WAY).items()})
    security = Security(
        app,
        Accounts(at),
        login_form=SignInForm,
        two_factor_setup_form=FactorForm,
        two_factor_rescue_form=RescueForm,
        two_factor_select_form=WhichForm,
        webauthn_util_cls=Passkeys,
        wan_register_form=PasskeyNameForm,
        wan_register_response_form=NewPasskeyForm,
        wan_signin_response_form=PasskeyForm,
        totp_cls=Codes,
        mf_recovery_codes_util_cls=RecoveryCodes,
        mail_util_cls=Notices,
    )
    security.want_json(lambda _request: False)
    security.unauthn_handler(ask_who)  # type: ignore[arg-type]
    keep_sessions(app)
    keep_record(app)
    _know_owners_alone(app, security)
    keep_the_way(app, f"{PREFIX}/")
    return security


def _know_owners_alone(app: Flask, security: Security) -> None:
    """Have it looked up, and kept, who is signed in around the owner's pages alone, not around everybody's requests."""
    theirs = (security.principal, security.login_manager)
    for hooks in cast(
        "tuple[dict[str | None, list[object]], ...]", (app.before_request_funcs, app.after_request_funcs)
    ):
        for hook in [hook for hook in hooks[None] if getattr(hook, "__self__", None) in theirs]:
            hooks[None].remove(hook)
            for pages in SIGNED_IN:
                hooks.setdefault(pages, []).insert(0, hook)


def ask_who(_mechanisms: object = None, headers: object = None) -> ResponseReturnValue:  # noqa: ARG001 - what it is called with
    """Lead somebody who is not signed in to where one signs in; what they sent is not done."""
    if request.method not in {"GET", "HEAD"}:
        abort(400)
    return redirect(url_for("security.login", next=request.full_path.rstrip("?")))
