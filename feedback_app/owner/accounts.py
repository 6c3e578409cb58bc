"""Flask-Security, fitted to the house: owners from the store, secrets sealed, codes taken once, sessions that end."""

import re
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

import qrcode
from flask import Flask, abort, current_app, redirect, request, url_for
from flask import session as cookie
from flask.typing import ResponseReturnValue
from flask_login import user_logged_in, user_logged_out
from flask_security import (
    LoginForm,
    RoleMixin,
    Security,
    Totp,
    TwoFactorRescueForm,
    TwoFactorSetupForm,
    UserDatastore,
    UserMixin,
)
from flask_security.mail_util import MailUtil
from flask_security.recovery_codes import MfRecoveryCodesUtil
from flask_security.signals import password_changed, tf_profile_changed
from passlib.exc import TokenError
from passlib.totp import TOTP, TotpMatch
from qrcode.image.svg import SvgPathImage
from wtforms import RadioField, SelectChoice, StringField
from wtforms.validators import InputRequired

from feedback_app import clock
from feedback_app.audit import Act, note
from feedback_app.crypto import derive
from feedback_app.owner import services
from feedback_app.owner.models import Owner
from feedback_app.web import House, house

PREFIX = "/feedback/admin"
KEY = "owner_session"
RECOVERY_CODES = 10
WRONG = "This user name and this password do not belong together."
LOCKED = "Too many wrong tries: wait a quarter of an hour."
_KINDS = ("Firefox", "Edg", "OPR", "Chrome", "Safari")
_SYSTEMS = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")


@dataclass(eq=False, kw_only=True, repr=False)
class Account(UserMixin):
    """An owner as Flask-Security knows one: the row's values, opened. It has no repr that could be logged."""

    id: int
    username: str
    password: str
    active: bool
    fs_uniquifier: str = ""
    tf_totp_secret: str | None
    tf_primary_method: str | None
    recovery_codes: int
    # Nobody is known by an address here, and none is kept.
    email: str = ""
    roles: Any = ()

    def __repr__(self) -> str:
        """The user name."""
        return f"<Account {self.username}>"

    def track_failed_authn(self, auth_type: str, tfa: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - the base's signature
        """Count a wrong password or code."""
        what = "wrong code" if tfa else "wrong password"
        with house().store.writing() as session:
            services.note_failure(session, self.id, what, now=clock.now())

    def is_locked(self, form_error: list[str] | None = None) -> bool:
        """Whether nothing is taken at the moment, not even what is right."""
        with house().store.reading() as session:
            locked = services.is_locked(session, self.id, now=clock.now())
        if locked and form_error is not None:
            form_error.append(LOCKED)
        return locked


class Accounts(UserDatastore):
    """Finds owners and keeps what changes of them, each in a transaction of its own."""

    def __init__(self, at: House) -> None:
        """Use a house's store."""
        super().__init__(Account, RoleMixin)
        self._store = at.store

    def find_user(self, case_insensitive: bool = False, **by: Any) -> Account | None:  # noqa: ANN401, ARG002, FBT001, FBT002 - the base's signature
        """The owner of a user name or a session's mark."""
        with self._store.reading() as session:
            if "username" in by:
                owner = services.find_owner(session, str(by["username"])[:64])
            else:
                owner = services.owner_of_mark(session, str(by["fs_uniquifier"]))
            return self._account(session, owner) if owner else None

    def _account(self, session: Any, owner: Owner) -> Account:  # noqa: ANN401 - a session
        secret = services.secret_of(session, owner)
        return Account(
            id=owner.id,
            username=owner.username,
            password=owner.password,
            active=owner.active,
            fs_uniquifier=owner.uniquifier,
            tf_totp_secret=secret,
            tf_primary_method="authenticator" if secret else None,
            recovery_codes=services.recovery_codes_left(session, owner.id),
        )

    def find_role(self, role: str) -> None:
        """There are none."""

    def put(self, model: Account) -> Account:
        """Keep what changed of an owner."""
        with self._store.writing() as session:
            owner = session.get_one(Owner, model.id, with_for_update=True)
            owner.password, owner.active, owner.uniquifier = model.password, model.active, model.fs_uniquifier
            if model.tf_totp_secret != services.secret_of(session, owner):
                secret = model.tf_totp_secret
                # Sealed by the store's own keys, and by nothing that could be lost without them.
                services.set_secret(session, owner, totp_of(secret).to_json(encrypt=False) if secret else None)
        return model

    def commit(self) -> None:
        """Everything has been, already."""

    def mf_get_recovery_codes(self, user: Any) -> list[str]:  # noqa: ANN401 - the base's signature
        """How many there are is known, not which."""
        return ["…"] * user.recovery_codes


class Codes(Totp):
    """The second factor's codes (RFC 6238), by the house's clock, each taken once."""

    def __init__(self, secrets: dict[str, str], issuer: str) -> None:
        """Make codes for a shop."""
        super().__init__(secrets, issuer)
        self._totp = TOTP.using(issuer=issuer, secrets=secrets, now=lambda: clock.now().timestamp())

    def made_from(self, secret: str) -> TOTP:
        """What makes the codes of a secret."""
        return self._totp.from_source(secret)

    def verify_totp(self, token: str, totp_secret: str, user: Any, window: int = 0) -> bool:  # noqa: ANN401 - an account
        """Whether a code is right, new, and taken at the moment."""
        return not user.is_locked() and super().verify_totp(token, totp_secret, user, window)

    def set_last_counter(self, user: Any, tmatch: TotpMatch) -> None:  # noqa: ANN401 - an account
        """Take a code, or refuse one that was taken before."""
        with house().store.writing() as session:
            if not services.use_counter(session, user.id, tmatch.counter):
                raise TokenError

    def generate_qrcode(self, username: str, totp: str) -> str:
        """The picture for an authenticator, as an element of the page: no address that a log could keep."""
        image = qrcode.make(self.get_totp_uri(username, totp), image_factory=SvgPathImage)
        with BytesIO() as file:
            image.save(file)
            return re.sub(r"^<\?xml[^>]*\?>\s*", "", file.getvalue().decode())


class RecoveryCodes(MfRecoveryCodesUtil):
    """Recovery codes: shown once, kept as keyed hashes, each taken once."""

    def create_recovery_codes(self, user: Any) -> list[str]:  # noqa: ANN401 - the base's signature
        """New ones; those before are worth nothing any more."""
        codes = house_security().totp_factory.generate_recovery_codes(RECOVERY_CODES)
        now = clock.now()
        with house().store.writing() as session:
            services.set_recovery_codes(session, user.id, codes)
            note(session, user.username, Act.RECOVERY_CODES, f"{len(codes)} new ones", now=now)
        return codes

    def get_recovery_codes(self, user: Any) -> list[str]:  # noqa: ANN401, ARG002 - the base's signature
        """None: they were shown when they were made."""
        return []

    def check_recovery_code(self, user: Any, code: str) -> bool:  # noqa: ANN401 - the base's signature
        """Take a code: of two at once, one wins."""
        if user.is_locked():
            return False
        with house().store.writing() as session:
            taken = services.use_recovery_code(session, user.id, code)
            if taken:
                note(session, user.username, Act.RECOVERY_USED, now=clock.now())
        if not taken:
            user.track_failed_authn("code", tfa=True)
        return taken

    def delete_recovery_code(self, user: Any, code: str) -> bool:  # noqa: ANN401, ARG002 - the base's signature
        """It went when it was taken."""
        return True


class Letters(MailUtil):
    """What Flask-Security would mail."""

    def send_mail(  # noqa: PLR0917 - the base's signature
        self,
        template: str,
        subject: str,
        recipient: Any,  # noqa: ANN401 - the base's signature; nobody is known by an address
        sender: Any,  # noqa: ANN401 - the base's signature
        body: str | None,
        html: str | None,
        **context: Any,  # noqa: ANN401 - the base's signature
    ) -> None:
        """Put it into the queue of letters."""


class SignInForm(LoginForm):
    """User name and password; which of the two was wrong is not said."""

    email = None
    remember = None
    username = StringField("User name", validators=[InputRequired("Say who you are.")])

    def validate(self, **kwargs: Any) -> bool:  # noqa: ANN401 - the base's signature
        """Whether they belong together."""
        self.ifield = self.username
        self.user = house_security().datastore.find_user(username=self.username.data or "")
        if super().validate(**kwargs):
            return True
        if self.username.data and self.password.data and not self.csrf_token.errors:
            locked = LOCKED in self.username.errors
            self.username.errors, self.password.errors = [], []
            self.form_errors.append(LOCKED if locked else WRONG)
        return False


class FactorForm(TwoFactorSetupForm):
    """Which second factor: there is one kind."""

    setup = StringField()


class RescueForm(TwoFactorRescueForm):
    """Never shown: without a phone, there are recovery codes."""

    help_setup = RadioField(choices=[SelectChoice(value="recovery_code", label="A recovery code")])


def moment(at: datetime) -> str:
    """A moment as the owner's pages write it, in UTC."""
    return f"{at:%Y-%m-%d %H:%M}"


def house_security() -> Security:
    """Flask-Security as this app has it."""
    security: Security = current_app.extensions["security"]
    return security


def totp_of(secret: str) -> TOTP:
    """What makes an owner's codes."""
    factory = house_security().totp_factory
    assert isinstance(factory, Codes)  # noqa: S101 - the class that it was told to use
    return factory.made_from(secret)


def browser_of(agent: str) -> str:
    """What a browser calls itself, in words that fit into a line: no more is kept of it."""
    kind = next((kind for kind in _KINDS if kind in agent), "A browser")
    system = next((system for system in _SYSTEMS if system in agent), "")
    kind = {"Edg": "Edge", "OPR": "Opera"}.get(kind, kind)
    return f"{kind} on {system}" if system else kind


def prepare_sign_in(app: Flask) -> Security:
    """Add signing in to an app that has its house."""
    at: House = app.extensions["undisclosed"]
    app.config.update(
        # It would write into everybody's session, readers' and customers' too; the owner's sessions are kept in the
        # store, listed, and ended there.
        SESSION_PROTECTION=None,
        SECURITY_URL_PREFIX=PREFIX,
        SECURITY_STATIC_FOLDER=None,
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
        SECURITY_LOGIN_USER_TEMPLATE="owner/sign_in.html",
        SECURITY_LOGOUT_USER_TEMPLATE="owner/sign_out.html",
        SECURITY_CHANGE_PASSWORD_TEMPLATE="owner/password.html",  # noqa: S106 - a template
        SECURITY_VERIFY_TEMPLATE="owner/again.html",
        SECURITY_TWO_FACTOR_SETUP_TEMPLATE="owner/second_factor.html",
        SECURITY_TWO_FACTOR_VERIFY_CODE_TEMPLATE="owner/code.html",
        SECURITY_MULTI_FACTOR_RECOVERY_CODES_TEMPLATE="owner/recovery_codes.html",
        SECURITY_MULTI_FACTOR_RECOVERY_TEMPLATE="owner/recovery.html",
    )
    security = Security(
        app,
        Accounts(at),
        login_form=SignInForm,
        two_factor_setup_form=FactorForm,
        two_factor_rescue_form=RescueForm,
        totp_cls=Codes,
        mf_recovery_codes_util_cls=RecoveryCodes,
        mail_util_cls=Letters,
    )
    security.want_json(lambda _request: False)
    security.unauthn_handler(ask_who)  # type: ignore[arg-type]
    _keep_sessions(app)
    _keep_record(app)
    return security


def ask_who(_mechanisms: object = None, headers: object = None) -> ResponseReturnValue:  # noqa: ARG001 - what it is called with
    """Lead somebody who is not signed in to where one signs in; what they sent is not done."""
    if request.method not in {"GET", "HEAD"}:
        abort(400)
    return redirect(url_for("security.login", next=request.full_path.rstrip("?")))


def _keep_sessions(app: Flask) -> None:
    """Only a browser whose session is in the store is signed in, whatever its cookie says."""
    manager = app.login_manager  # type: ignore[attr-defined]
    load = manager._user_callback  # noqa: SLF001 - Flask-Login has no other name for it
    # No page here is opened by a token in a header.
    manager.request_loader(lambda _request: None)

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load_if_session_goes_on(mark: str) -> Account | None:
        account: Account | None = load(mark)
        if account is None:
            return None
        now = clock.now()
        with house().store.reading() as session:
            found = services.find_session(session, account.id, cookie.get(KEY, ""), now=now)
        if found is None:
            return None
        if now - found.seen_at > services.SEEN_EVERY:
            with house().store.writing() as session:
                services.see_session(session, found.id, now=now)
        return account

    @user_logged_in.connect_via(app)  # type: ignore[untyped-decorator]
    def begin(_app: Flask, user: Account, **_: object) -> None:
        with house().store.writing() as session:
            browser = browser_of(request.user_agent.string)
            cookie[KEY] = services.start_session(session, user.id, browser, now=clock.now())

    @user_logged_out.connect_via(app)  # type: ignore[untyped-decorator]
    def end(_app: Flask, user: Account, **_: object) -> None:
        now = clock.now()
        with house().store.writing() as session:
            found = services.find_session(session, user.id, cookie.pop(KEY, ""), now=now)
            if found is not None:
                services.end_session(session, user.id, number=found.id)
                note(session, user.username, Act.SIGNED_OUT, found.browser, now=now)

    # These live as long as the app does.
    app.extensions["owner sessions"] = (begin, end)


def _keep_record(app: Flask) -> None:
    """Lines in the audit log for what Flask-Security does by itself."""

    def line(user: Account, act: Act) -> None:
        with house().store.writing() as session:
            note(session, user.username, act, now=clock.now())

    def changed_password(_app: Flask, user: Account, **_: object) -> None:
        line(user, Act.PASSWORD_CHANGED)

    def set_factor(_app: Flask, user: Account, **_: object) -> None:
        line(user, Act.FACTOR_SET)

    password_changed.connect(changed_password, app)
    tf_profile_changed.connect(set_factor, app)
    app.extensions["owner record"] = (changed_password, set_factor)
