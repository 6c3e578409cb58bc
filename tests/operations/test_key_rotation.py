"""Rotating the address key: while the shop runs, killed and continued, nobody lost."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from feedback_app.config import Settings, load_settings
from feedback_app.customers.addresses import Address
from feedback_app.customers.models import Customer
from feedback_app.customers.services import address_of, find_customer, find_or_add_customer, name_of
from feedback_app.db.setup import open_store, sealing_keys
from feedback_app.db.store import Store
from feedback_app.operations import key_rotation
from feedback_app.operations.key_rotation import Rotated, RotationRefused, rotate_keys
from feedback_app.security.crypto import KEY_ID_BYTES, CannotOpen
from tests.support.clock import OPPS_DAY
from tests.support.people import ALICE, BOB, CAROL, welcome


@pytest.fixture
def own_keys(empty_store_url: str, tmp_path: Path) -> Settings:
    """A shop whose keys are in files."""
    return load_settings({"UNDISCLOSED_INSTANCE": str(tmp_path / "own"), "UNDISCLOSED_STORE_URL": empty_store_url})


def key_ids(store: Store) -> set[bytes]:
    with store.reading() as session:
        rows = session.execute(select(Customer.address, Customer.name)).all()
    return {sealed[:KEY_ID_BYTES] for row in rows for sealed in row if sealed}


def test_after_a_rotation_everybody_is_still_known_and_sealed_anew(own_keys: Settings) -> None:
    store = open_store(own_keys)
    for person in (ALICE, BOB, CAROL):
        welcome(store, person, now=OPPS_DAY)
    before = key_ids(store)
    said: list[tuple[int, int]] = []
    done = rotate_keys(own_keys, store, progress=lambda done, total: said.append((done, total)))
    assert done == Rotated(resealed=3, continued=False, kept=2)
    assert said == [(0, 3), (3, 3)]
    assert len(key_ids(store)) == 1
    assert not key_ids(store) & before
    store.close()
    again = open_store(own_keys)
    with again.reading() as session:
        alice = find_customer(session, Address.parse("ALICE@example.com"))
        assert alice is not None
        assert (address_of(session, alice).written, name_of(session, alice)) == (ALICE.address, ALICE.name)
    again.close()


def test_a_process_that_runs_meanwhile_reads_and_writes_on(own_keys: Settings) -> None:
    running, rotating = open_store(own_keys), open_store(own_keys)
    number = welcome(running, ALICE, now=OPPS_DAY)
    rotate_keys(own_keys, rotating)
    with running.reading() as session:
        assert address_of(session, session.get_one(Customer, number)).written == ALICE.address
    welcome(running, BOB, now=OPPS_DAY)
    assert len(key_ids(running)) == 1
    running.close()
    rotating.close()


def test_a_rotation_that_was_killed_is_continued(own_keys: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rotation, "BATCH", 1)
    store = open_store(own_keys)
    for person in (ALICE, BOB, CAROL):
        welcome(store, person, now=OPPS_DAY)

    def killed(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate_keys(own_keys, store, progress=killed)
    store.close()
    after = open_store(own_keys)
    assert len(key_ids(after)) == 2
    assert rotate_keys(own_keys, after) == Rotated(resealed=1, continued=True, kept=2)
    assert len(key_ids(after)) == 1
    with after.reading() as session:
        found = {address_of(session, customer).written for customer in session.scalars(select(Customer))}
    assert found == {person.address for person in (ALICE, BOB, CAROL)}
    after.close()


def test_of_two_rotations_at_once_the_second_is_refused(own_keys: Settings) -> None:
    store, other = open_store(own_keys), open_store(own_keys)
    welcome(store, ALICE, now=OPPS_DAY)

    def meanwhile(done: int, _total: int) -> None:
        if not done:
            with pytest.raises(RotationRefused, match="another rotation"):
                rotate_keys(own_keys, other)

    rotate_keys(own_keys, store, progress=meanwhile)
    rotate_keys(own_keys, other)
    with store.reading() as session:
        assert address_of(session, session.scalars(select(Customer)).one()).written == ALICE.address
    store.close()
    other.close()


def test_the_key_before_the_last_is_gone_after_the_next_rotation(own_keys: Settings) -> None:
    store = open_store(own_keys)
    welcome(store, ALICE, now=OPPS_DAY)
    with store.reading() as session:
        sealed = session.scalars(select(Customer.address)).one()
        fingerprint = session.scalars(select(Customer.fingerprint)).one()
    rotate_keys(own_keys, store)
    assert store.info["vault"].open("customers.address", fingerprint, sealed) == ALICE.address
    rotate_keys(own_keys, store)
    with pytest.raises(CannotOpen):
        store.info["vault"].open("customers.address", fingerprint, sealed)
    with store.reading() as session:
        assert len(sealing_keys(session)) == 2
    store.close()
    open_store(own_keys).close()


def test_with_the_key_in_the_environment_the_owner_puts_a_new_one_in_front(
    make_settings: Callable[..., Settings], store: Store
) -> None:
    welcome(store, ALICE, now=OPPS_DAY)
    with pytest.raises(RotationRefused, match="in front"):
        rotate_keys(make_settings(), store)
    rotated = make_settings(address_key="a second key put in front of the rest,an address key that only tests use")
    again = open_store(rotated)
    assert rotate_keys(rotated, again).resealed == 1
    with again.reading() as session:
        assert find_customer(session, Address.parse(ALICE.address)) is not None
    again.close()


def test_somebody_erased_before_a_rotation_is_still_recognised_after_it(own_keys: Settings) -> None:
    store = open_store(own_keys)
    vault = store.info["vault"]
    before = vault.fingerprint(Address.parse(ALICE.address).key)
    rotate_keys(own_keys, store)
    rotate_keys(own_keys, store)
    assert vault.fingerprint(Address.parse("Alice@Example.com").key) == before
    with store.writing() as session:
        assert find_or_add_customer(session, Address.parse(ALICE.address), now=OPPS_DAY).fingerprint == before
    store.close()
