"""Addresses are sealed, opened, and found by their hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_app.security.crypto import CannotOpen, KeyProblem, KeyRing, Vault, new_key

OLD, NEW = new_key(), new_key()
PLACE, ROW = "customers.address", b"a fingerprint of thirty-two bytes"


def vault(text: str) -> Vault:
    return Vault(KeyRing.parse(text, "a test's key"))


@given(st.text())
def test_a_sealed_text_opens_for_its_own_column_and_row(text: str) -> None:
    safe = vault(OLD)
    assert safe.open(PLACE, ROW, safe.seal(PLACE, ROW, text)) == text


@given(st.text(min_size=4, max_size=40))
def test_a_sealed_text_cannot_be_read_and_is_never_the_same_twice(text: str) -> None:
    safe = vault(OLD)
    first, second = safe.seal(PLACE, ROW, text), safe.seal(PLACE, ROW, text)
    assert first != second
    assert text.encode() not in first


@pytest.mark.parametrize(
    ("place", "row"), [("customers.name", ROW), (PLACE, b"somebody else's fingerprint"), ("", ROW)]
)
def test_a_moved_value_does_not_open(place: str, row: bytes) -> None:
    safe = vault(OLD)
    with pytest.raises(CannotOpen, match="moved"):
        safe.open(place, row, safe.seal(PLACE, ROW, "alice@example.com"))


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_value_changed_in_one_byte_does_not_open(position: int, difference: int) -> None:
    safe = vault(OLD)
    sealed = bytearray(safe.seal(PLACE, ROW, "alice@example.com"))
    sealed[position % len(sealed)] ^= difference
    with pytest.raises(CannotOpen):
        safe.open(PLACE, ROW, bytes(sealed))


def test_a_cut_value_does_not_open() -> None:
    safe = vault(OLD)
    sealed = safe.seal(PLACE, ROW, "alice@example.com")
    for length in range(len(sealed)):
        with pytest.raises(CannotOpen):
            safe.open(PLACE, ROW, sealed[:length])


def test_a_new_key_in_front_seals_and_the_old_one_still_opens() -> None:
    before, after = vault(OLD), vault(f"{NEW},{OLD}")
    sealed = before.seal(PLACE, ROW, "alice@example.com")
    assert after.open(PLACE, ROW, sealed) == "alice@example.com"
    with pytest.raises(CannotOpen, match="not here"):
        before.open(PLACE, ROW, after.seal(PLACE, ROW, "alice@example.com"))


def test_the_look_up_key_survives_the_rotation_of_the_sealing_key() -> None:
    assert vault(OLD).fingerprint("alice@example.com") == vault(f"{NEW},{OLD}").fingerprint("alice@example.com")
    assert vault(OLD).fingerprint("alice@example.com") != vault(NEW).fingerprint("alice@example.com")
    apart = vault(f"{NEW},lookup:{OLD}")
    assert apart.fingerprint("alice@example.com") == vault(f"lookup:{OLD},{NEW}").fingerprint("alice@example.com")


@pytest.mark.parametrize(
    "text",
    ["", ",", "short", "lookup:" + OLD, f"{OLD},lookup:{OLD},lookup:{NEW}"],
    ids=["nothing", "a comma", "too short", "only a look-up key", "two look-up keys"],
)
def test_a_malformed_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(KeyProblem) as problem:
        KeyRing.parse(text, "UNDISCLOSED_ADDRESS_KEY")
    assert "UNDISCLOSED_ADDRESS_KEY" in str(problem.value)
    assert OLD not in str(problem.value)
    assert "short" not in str(problem.value)
