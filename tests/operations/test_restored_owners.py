"""Owners and what is kept of them: a restore gives nobody back what ended, a new key seals the second factor too."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from feedback_app.config import Settings, load_settings
from feedback_app.db.setup import open_store, sealing_keys
from feedback_app.db.store import Store
from feedback_app.desk.models import Owner, OwnerSession
from feedback_app.desk.passkeys import add_passkey, passkeys_of, remove_passkey
from feedback_app.desk.services import (
    create_owner,
    find_owner,
    find_session,
    hash_password,
    open_totp_secret,
    recovery_codes_left,
    set_recovery_codes,
    set_totp_secret,
    start_session,
    use_recovery_code,
    use_totp_counter,
)
from feedback_app.operations import snapshot
from feedback_app.operations.backup import back_up
from feedback_app.operations.key_rotation import rotate_keys
from feedback_app.operations.restore import plan_restore, restore
from feedback_app.security.crypto import KEY_ID_BYTES
from tests.support.clock import OPPS_DAY
from tests.support.postgres import find_postgres

LATER = OPPS_DAY + timedelta(days=1)
SECRET = '{"key": "GEHEIM"}'


@pytest.fixture(autouse=True)
def _programs(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = find_postgres()
    assert programs
    monkeypatch.setenv("PATH", str(programs), prepend=":")


def sign_up(store: Store) -> tuple[int, str]:
    """Nora, with a second factor, two recovery codes and a session; returns her number and the session's key."""
    with store.writing() as session:
        nora = create_owner(session, "nora", "odd socks never match", who="a test", now=OPPS_DAY)
        set_totp_secret(session, nora, SECRET)
        set_recovery_codes(session, nora.id, ["one-one", "two-two"])
        add_key(session, nora, "the phone")
        return nora.id, start_session(session, nora.id, "Firefox", now=OPPS_DAY)


def add_key(session: Session, owner: Owner, name: str) -> None:
    add_passkey(
        session,
        owner,
        name,
        credential_id=name.encode(),
        public_key=b"public",
        sign_count=1,
        transports=["usb"],
        now=OPPS_DAY,
    )


def put_back(settings: Settings, file: Path) -> None:
    restore(settings, plan_restore(settings, file), now=LATER)


def test_a_session_that_was_ended_does_not_come_back_by_a_restore(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    nora, key = sign_up(store)
    back_up(store, tmp_path / "monday.backup")
    put_back(settings, tmp_path / "monday.backup")
    with store.reading() as session:
        assert find_session(session, nora, key, now=OPPS_DAY) is None
        assert session.scalars(select(OwnerSession)).all() == []


def test_what_was_used_or_changed_since_the_backup_stays_so(store: Store, settings: Settings, tmp_path: Path) -> None:
    nora, _ = sign_up(store)
    back_up(store, tmp_path / "monday.backup")
    with store.writing() as session:
        assert use_recovery_code(session, nora, "one-one")
        assert use_totp_counter(session, nora, 7)
        session.get_one(Owner, nora).password = new = hash_password("quite another one")
    put_back(settings, tmp_path / "monday.backup")
    with store.writing() as session:
        assert not use_recovery_code(session, nora, "one-one")
        assert not use_totp_counter(session, nora, 7)
        assert session.get_one(Owner, nora).password == new
        assert use_recovery_code(session, nora, "two-two")


def test_a_passkey_that_was_removed_since_the_backup_stays_away_and_a_new_one_stays(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    nora, _ = sign_up(store)
    back_up(store, tmp_path / "monday.backup")
    with store.writing() as session:
        owner = session.get_one(Owner, nora)
        (lost,) = passkeys_of(session, nora)
        assert remove_passkey(session, owner, lost.id, lost.name, now=LATER)
        add_key(session, owner, "the key")
    put_back(settings, tmp_path / "monday.backup")
    with store.reading() as session:
        assert [(one.name, one.sign_count, one.transports) for one in passkeys_of(session, nora)] == [
            ("the key", 1, ["usb"])
        ]


def test_where_the_store_before_is_lost_the_codes_of_the_backup_are_all_there_is(
    store: Store, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nora, key = sign_up(store)
    back_up(store, tmp_path / "monday.backup")
    monkeypatch.setattr(snapshot, "TABLES", (snapshot.snapshot_of(_Unknown),))  # type: ignore[arg-type]
    put_back(settings, tmp_path / "monday.backup")
    with store.reading() as session:
        assert recovery_codes_left(session, nora) == 2
        assert find_session(session, nora, key, now=OPPS_DAY) is None


class _Unknown:
    """A table that the store before does not have."""

    __tablename__ = "unknown"
    __table__ = Owner.__table__


def test_a_new_key_seals_the_second_factor_anew(empty_store_url: str, tmp_path: Path) -> None:
    own_keys = load_settings({"UNDISCLOSED_INSTANCE": str(tmp_path / "own"), "UNDISCLOSED_STORE_URL": empty_store_url})
    store = open_store(own_keys)
    nora, _ = sign_up(store)
    with store.reading() as session:
        before = session.get_one(Owner, nora).totp_secret
        old = sealing_keys(session)
    rotate_keys(own_keys, store)
    with store.reading() as session:
        owner = find_owner(session, "nora")
        assert owner
        assert before
        assert owner.totp_secret
        assert before[:KEY_ID_BYTES] in old
        assert owner.totp_secret[:KEY_ID_BYTES] not in old
        assert open_totp_secret(session, owner) == SECRET
    # The key after next: the one from before is dropped now, and nothing needs it.
    rotate_keys(own_keys, store)
    store.close()
    again = open_store(own_keys)
    with again.reading() as session:
        owner = find_owner(session, "nora")
        assert owner
        assert open_totp_secret(session, owner) == SECRET
        assert not old & sealing_keys(session)
    again.close()
