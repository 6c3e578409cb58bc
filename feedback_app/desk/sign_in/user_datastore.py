"""Flask-Security's datastore: owners and passkeys as its user objects; each change is a transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask_security import RoleMixin, UserDatastore, UserMixin, WebAuthnMixin

from feedback_app import clock
from feedback_app.desk import passkeys, services
from feedback_app.desk.models import Owner, OwnerPasskey
from feedback_app.desk.sign_in.second_factor_codes import totp_from_secret
from feedback_app.web.app_state import AppState, app_state

LOCKED = "Too many wrong tries: wait a quarter of an hour."


@dataclass(eq=False, kw_only=True)
class Passkey(WebAuthnMixin):
    """A passkey for Flask-Security: always a second factor, never the only one."""

    id: int
    owner_uniquifier: str
    name: str
    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: list[str]
    created_at: datetime
    used_at: datetime | None
    # Flask-Security needs a value, also for a passkey that was never used.
    lastuse_datetime: datetime
    usage: str = "secondary"
    extensions: str | None = None
    backup_state: bool = False
    device_type: str = ""

    @classmethod
    def from_row(cls, row: OwnerPasskey, uniquifier: str) -> "Passkey":
        """Make it from a row and its owner's uniquifier."""
        return cls(
            id=row.id,
            owner_uniquifier=uniquifier,
            name=row.name,
            credential_id=row.credential_id,
            public_key=row.public_key,
            sign_count=row.sign_count,
            transports=row.transports,
            created_at=row.created_at,
            used_at=row.used_at,
            lastuse_datetime=row.used_at or row.created_at,
        )

    def get_user_mapping(self) -> dict[str, Any]:
        """Return the criteria by which Flask-Security finds its owner."""
        return {"fs_uniquifier": self.owner_uniquifier}


@dataclass(eq=False, kw_only=True, repr=False)
class Account(UserMixin):
    """An owner for Flask-Security: the row's values, decrypted. Its repr shows no secret, since it may be logged."""

    id: int
    username: str
    password: str
    active: bool
    fs_uniquifier: str = ""
    tf_totp_secret: str | None
    tf_primary_method: str | None
    recovery_codes: int
    webauthn: list[WebAuthnMixin] = field(default_factory=list)
    # By this a device tells this shop's accounts apart; it reveals nothing about the person.
    fs_webauthn_user_handle: str = ""
    # Owners have no address here.
    email: str = ""
    roles: Any = ()

    def __repr__(self) -> str:
        """Show the user name alone."""
        return f"<Account {self.username}>"

    def track_failed_authn(self, auth_type: str, tfa: bool = False) -> None:  # noqa: FBT001, FBT002 - the base's signature
        """Count a wrong password, code or passkey."""
        failure = "wrong code" if tfa else f"wrong {auth_type}"
        with app_state().store.writing() as session:
            services.note_failure(session, self.id, failure, now=clock.now())

    def is_locked(self, form_error: list[str] | None = None) -> bool:
        """Return whether the owner is locked, so that not even a right password is accepted."""
        with app_state().store.reading() as session:
            locked = services.is_locked(session, self.id, now=clock.now())
        if locked and form_error is not None:
            form_error.append(LOCKED)
        return locked


class AccountDatastore(UserDatastore):
    """Finds and changes owners, each time in its own transaction."""

    def __init__(self, state: AppState) -> None:
        """Use the app's store."""
        super().__init__(Account, RoleMixin, webauthn_model=Passkey)
        self._store = state.store

    def find_user(self, case_insensitive: bool = False, **by: Any) -> Account | None:  # noqa: ANN401, ARG002, FBT001, FBT002 - the base's signature
        """Return the owner with a user name or a uniquifier."""
        with self._store.reading() as session:
            if "username" in by:
                owner = services.find_owner(session, str(by["username"])[:64])
            else:
                owner = services.find_owner_by_uniquifier(session, str(by["fs_uniquifier"]))
            return self._account(session, owner) if owner else None

    def _account(self, session: Any, owner: Owner) -> Account:  # noqa: ANN401 - a session
        secret = services.open_totp_secret(session, owner)
        return Account(
            id=owner.id,
            username=owner.username,
            password=owner.password,
            active=owner.active,
            fs_uniquifier=owner.uniquifier,
            tf_totp_secret=secret,
            tf_primary_method="authenticator" if secret else None,
            recovery_codes=services.recovery_codes_left(session, owner.id),
            fs_webauthn_user_handle=f"owner {owner.id}",
            webauthn=[Passkey.from_row(row, owner.uniquifier) for row in passkeys.passkeys_of(session, owner.id)],
        )

    def find_role(self, role: str) -> None:
        """Return none: there are no roles."""

    def put(self, model: Account | Passkey) -> Account | Passkey:
        """Store an owner or a passkey that changed."""
        with self._store.writing() as session:
            if isinstance(model, Passkey):
                passkeys.use_passkey(session, model.id, model.sign_count, now=clock.now())
                return model
            owner = session.get_one(Owner, model.id, with_for_update=True)
            owner.password, owner.active, owner.uniquifier = model.password, model.active, model.fs_uniquifier
            if model.tf_totp_secret != services.open_totp_secret(session, owner):
                secret = model.tf_totp_secret
                # Sealed with the store's keys alone: a second key, Flask-Security's, could be lost.
                services.set_totp_secret(
                    session, owner, totp_from_secret(secret).to_json(encrypt=False) if secret else None
                )
        return model

    def commit(self) -> None:
        """Do nothing: every change is committed at once."""

    def find_webauthn(self, credential_id: bytes) -> Passkey | None:
        """Return the passkey of a credential, if there is one."""
        with self._store.reading() as session:
            row = passkeys.find_passkey(session, credential_id)
            return Passkey.from_row(row, session.get_one(Owner, row.owner_id).uniquifier) if row else None

    def create_webauthn(  # noqa: PLR0917 - the base's signature
        self,
        user: Any,  # noqa: ANN401 - the base's signature
        credential_id: bytes,
        public_key: bytes,
        name: str,
        sign_count: int,
        usage: str,  # noqa: ARG002 - the base's signature
        device_type: str,  # noqa: ARG002 - the base's signature
        backup_state: bool,  # noqa: ARG002, FBT001 - the base's signature
        transports: Sequence[str] | None = None,
        extensions: str | None = None,  # noqa: ARG002 - the base's signature
        **_: object,
    ) -> None:
        """Store a new passkey."""
        with self._store.writing() as session:
            passkeys.add_passkey(
                session,
                session.get_one(Owner, user.id),
                name,
                credential_id=credential_id,
                public_key=public_key,
                sign_count=sign_count,
                transports=[str(getattr(transport, "value", transport)) for transport in transports or ()],
                now=clock.now(),
            )

    def delete_webauthn(self, webauthn: WebAuthnMixin) -> None:
        """Remove a passkey."""
        assert isinstance(webauthn, Passkey)  # noqa: S101 - there are no others
        with self._store.writing() as session:
            owner = services.find_owner_by_uniquifier(session, webauthn.owner_uniquifier)
            if owner is not None:
                passkeys.remove_passkey(session, owner, webauthn.id, webauthn.name, now=clock.now())

    def mf_get_recovery_codes(self, user: Any) -> list[str]:  # noqa: ANN401 - the base's signature
        """Return a placeholder for each code: only hashes are stored."""
        return ["…"] * user.recovery_codes
