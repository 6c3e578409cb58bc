"""Six-digit codes (RFC 6238) and recovery codes, each accepted once."""

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


class TotpCodes(Totp):
    """The second factor's six-digit codes, by the app's clock, each accepted once."""

    def __init__(self, secrets: dict[str, str], issuer: str) -> None:
        """Make codes for a shop, which the authenticator shows as `issuer`."""
        super().__init__(secrets, issuer)
        self._totp = TOTP.using(issuer=issuer, secrets=secrets, now=lambda: clock.now().timestamp())

    def from_secret(self, secret: str) -> TOTP:
        """Return the generator of a secret's codes."""
        return self._totp.from_source(secret)

    def verify_totp(self, token: str, totp_secret: str, user: Any, window: int = 0) -> bool:  # noqa: ANN401 - an account
        """Return whether a code is right and new, and the owner is not locked."""
        return not user.is_locked() and super().verify_totp(token, totp_secret, user, window)

    def set_last_counter(self, user: Any, tmatch: TotpMatch) -> None:  # noqa: ANN401 - an account
        """Accept a code. Raises TokenError if it was accepted before."""
        with app_state().store.writing() as session:
            if not services.use_totp_counter(session, user.id, tmatch.counter):
                raise TokenError

    def generate_qrcode(self, username: str, totp: str) -> str:
        """Return the QR code as an element of the page: as an image it would have a URL, which logs keep."""
        image = qrcode.make(self.get_totp_uri(username, totp), image_factory=SvgPathImage)
        with BytesIO() as file:
            image.save(file)
            return re.sub(r"^<\?xml[^>]*\?>\s*", "", file.getvalue().decode())


class RecoveryCodes(MfRecoveryCodesUtil):
    """Recovery codes: shown once, stored as keyed hashes, each accepted once."""

    def create_recovery_codes(self, user: Any) -> list[str]:  # noqa: ANN401 - the base's signature
        """Return new codes; the old ones stop working."""
        codes = security_extension().totp_factory.generate_recovery_codes(RECOVERY_CODES)
        now = clock.now()
        with app_state().store.writing() as session:
            services.set_recovery_codes(session, user.id, codes)
            note(session, user.username, Act.RECOVERY_CODES, f"{len(codes)} new ones", now=now)
        return codes

    def get_recovery_codes(self, user: Any) -> list[str]:  # noqa: ANN401, ARG002 - the base's signature
        """Return none: codes are shown only when they are made."""
        return []

    def check_recovery_code(self, user: Any, code: str) -> bool:  # noqa: ANN401 - the base's signature
        """Accept a code: of two concurrent requests one wins."""
        if user.is_locked():
            return False
        with app_state().store.writing() as session:
            accepted = services.use_recovery_code(session, user.id, code)
            if accepted:
                note(session, user.username, Act.RECOVERY_USED, now=clock.now())
        if not accepted:
            user.track_failed_authn("code", tfa=True)
        return accepted

    def delete_recovery_code(self, user: Any, code: str) -> bool:  # noqa: ANN401, ARG002 - the base's signature
        """Do nothing: the code was deleted when it was accepted."""
        return True


def security_extension() -> Security:
    """Return this app's Flask-Security."""
    security: Security = current_app.extensions["security"]
    return security


def totp_from_secret(secret: str) -> TOTP:
    """Return the generator of an owner's codes."""
    factory = security_extension().totp_factory
    assert isinstance(factory, TotpCodes)  # noqa: S101 - the class it was configured with
    return factory.from_secret(secret)
