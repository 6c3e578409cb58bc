"""The second factor's codes and the recovery codes, each taken once."""

import re
from io import BytesIO
from typing import Any

import qrcode
from flask import current_app
from flask_security import Security, Totp
from flask_security.recovery_codes import MfRecoveryCodesUtil
from passlib.exc import TokenError
from passlib.totp import TOTP, TotpMatch
from qrcode.image.svg import SvgPathImage

from feedback_app import clock
from feedback_app.audit_log import Act, note
from feedback_app.desk import services
from feedback_app.web.app_state import app_state

RECOVERY_CODES = 10


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
        with app_state().store.writing() as session:
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
        with app_state().store.writing() as session:
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
        with app_state().store.writing() as session:
            taken = services.use_recovery_code(session, user.id, code)
            if taken:
                note(session, user.username, Act.RECOVERY_USED, now=clock.now())
        if not taken:
            user.track_failed_authn("code", tfa=True)
        return taken

    def delete_recovery_code(self, user: Any, code: str) -> bool:  # noqa: ANN401, ARG002 - the base's signature
        """It went when it was taken."""
        return True


def house_security() -> Security:
    """Flask-Security as this app has it."""
    security: Security = current_app.extensions["security"]
    return security


def totp_of(secret: str) -> TOTP:
    """What makes an owner's codes."""
    factory = house_security().totp_factory
    assert isinstance(factory, Codes)  # noqa: S101 - the class that it was told to use
    return factory.made_from(secret)
