"""Owners as Flask-Security knows them: the row's values, opened, and kept each in a transaction of its own."""

from dataclasses import dataclass
from typing import Any

from flask_security import RoleMixin, UserDatastore, UserMixin

from feedback_app import clock
from feedback_app.owner import services
from feedback_app.owner.codes import totp_of
from feedback_app.owner.models import Owner
from feedback_app.web import House, house

LOCKED = "Too many wrong tries: wait a quarter of an hour."


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
