"""Setting up Flask-Security for the desk."""

from typing import cast

from flask import Flask, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_security import Security

from feedback_app.desk import services
from feedback_app.desk.sign_in.passkey_forms import MESSAGES as PASSKEY_MESSAGES
from feedback_app.desk.sign_in.passkey_forms import NewPasskeyForm, PasskeyForm, PasskeyNameForm, PasskeyRequests
from feedback_app.desk.sign_in.second_factor_codes import RECOVERY_CODES, RecoveryCodes, TotpCodes
from feedback_app.desk.sign_in.security_mail import QueuedMail
from feedback_app.desk.sign_in.sessions import log_changes, use_stored_sessions
from feedback_app.desk.sign_in.sign_in_forms import ChooseFactorForm, RescueForm, SecondFactorForm, SignInForm
from feedback_app.desk.sign_in.two_factor_flow import MESSAGES as TWO_FACTOR_MESSAGES
from feedback_app.desk.sign_in.two_factor_flow import keep_half_signed_in
from feedback_app.desk.sign_in.user_datastore import AccountDatastore
from feedback_app.security.crypto import derive
from feedback_app.web.app_state import AppState

PREFIX = "/feedback/admin"
# The blueprints of the owner's pages, and Flask-Security's.
SIGNED_IN = ("security", "owner", "moderation", "posts")


def prepare_sign_in(app: Flask) -> Security:
    """Add the sign-in to an app that has its state."""
    state: AppState = app.extensions["undisclosed"]
    app.config.update(
        # Flask-Login's protection would write into every session, also readers' and customers'. Owners' sessions are in
        # the store, where they can be ended.
        SESSION_PROTECTION=None,
        SECURITY_URL_PREFIX=PREFIX,
        SECURITY_STATIC_FOLDER=None,
        # `keep_private` sets this header; Flask-Security's is malformed.
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
        SECURITY_WAN_RP_NAME=state.settings.shop_name,
        SECURITY_WAN_REGISTER_URL="/passkeys",
        SECURITY_WAN_DELETE_URL="/passkeys/remove",
        SECURITY_WAN_SIGNIN_URL="/passkey",
        SECURITY_WAN_VERIFY_URL="/passkey-again",
        # A passkey is used with a password, not instead of it.
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
        SECURITY_PASSWORD_LENGTH_MIN=services.MIN_PASSWORD_LENGTH,
        SECURITY_TWO_FACTOR=True,
        SECURITY_TWO_FACTOR_REQUIRED=True,
        SECURITY_TWO_FACTOR_ENABLED_METHODS=["authenticator"],
        SECURITY_TWO_FACTOR_RESCUE_EMAIL=False,
        # Seconds that a clock may be off.
        SECURITY_TWO_FACTOR_AUTHENTICATOR_VALIDITY=30,
        SECURITY_MULTI_FACTOR_RECOVERY_CODES=True,
        SECURITY_MULTI_FACTOR_RECOVERY_CODES_N=RECOVERY_CODES,
        SECURITY_TOTP_SECRETS={"1": derive(state.signer.identifier_key, "second factor").hex()},
        SECURITY_TOTP_ISSUER=state.settings.shop_name.replace(":", " "),
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
    app.config.update(
        {f"SECURITY_MSG_{name}": message for name, message in (PASSKEY_MESSAGES | TWO_FACTOR_MESSAGES).items()}
    )
    security = Security(
        app,
        AccountDatastore(state),
        login_form=SignInForm,
        two_factor_setup_form=SecondFactorForm,
        two_factor_rescue_form=RescueForm,
        two_factor_select_form=ChooseFactorForm,
        webauthn_util_cls=PasskeyRequests,
        wan_register_form=PasskeyNameForm,
        wan_register_response_form=NewPasskeyForm,
        wan_signin_response_form=PasskeyForm,
        totp_cls=TotpCodes,
        mf_recovery_codes_util_cls=RecoveryCodes,
        mail_util_cls=QueuedMail,
    )
    security.want_json(lambda _request: False)
    security.unauthn_handler(redirect_to_sign_in)  # type: ignore[arg-type]
    use_stored_sessions(app)
    log_changes(app)
    _limit_hooks_to_desk(app, security)
    keep_half_signed_in(app, f"{PREFIX}/")
    return security


def _limit_hooks_to_desk(app: Flask, security: Security) -> None:
    """Run the hooks of Flask-Login and Flask-Principal for the desk alone, not for readers' and customers' requests."""
    extensions = (security.principal, security.login_manager)
    for hooks in cast(
        "tuple[dict[str | None, list[object]], ...]", (app.before_request_funcs, app.after_request_funcs)
    ):
        for hook in [hook for hook in hooks[None] if getattr(hook, "__self__", None) in extensions]:
            hooks[None].remove(hook)
            for blueprint in SIGNED_IN:
                hooks.setdefault(blueprint, []).insert(0, hook)


def redirect_to_sign_in(_mechanisms: object = None, headers: object = None) -> ResponseReturnValue:  # noqa: ARG001 - Flask-Security's arguments
    """Redirect to the sign-in page, and refuse a form that was sent without a session."""
    if request.method not in {"GET", "HEAD"}:
        abort(400)
    return redirect(url_for("security.login", next=request.full_path.rstrip("?")))
