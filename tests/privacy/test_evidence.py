"""Consent evidence: a document that people can read, and in which any change is noticed."""

import base64
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback_app.audit_log import Act, newest_lines
from feedback_app.config import Settings
from feedback_app.customers.consent import choose
from feedback_app.customers.importing.services import import_customers
from feedback_app.customers.models import ConsentChannel, Customer, Frequency
from feedback_app.customers.topics import Topic
from feedback_app.db.store import Store
from feedback_app.privacy.evidence import BEGIN, END, BadEvidence, evidence_of, public_keys, verify
from feedback_app.security.keys import signer
from feedback_app.security.tokens import Signer
from tests.support.clock import OPPS_DAY, Clock
from tests.support.commands import typed
from tests.support.databases import SQLITE
from tests.support.keys import SECRET_KEY
from tests.support.people import ALICE, BOB, welcome

OTHER_KEY = "another signing key that only tests use"


@pytest.fixture
def backend() -> str:
    """One database: what is tested here does not depend on which."""
    return SQLITE


@pytest.fixture
def document(settings: Settings, store: Store, clock: Clock) -> str:
    """Alice's evidence: she was imported, chose on her own page, and then unsubscribed with one click."""
    alice = welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.WEEKLY)
    clock.advance(days=3)
    with store.writing() as session:
        customer = session.get_one(Customer, alice)
        how = {"channel": ConsentChannel.ONE_CLICK, "wording": Topic.SPECIALS.info.wording, "now": clock.now()}
        choose(session, customer, Topic.SPECIALS, Frequency.NEVER, **how)  # type: ignore[arg-type]
    with store.reading() as session:
        return evidence_of(session, session.get_one(Customer, alice), settings, signer(settings), now=clock.now())


def trusted(settings: Settings) -> list[str]:
    """The shop's keys."""
    return public_keys(signer(settings))


def test_it_says_what_was_agreed_to_when_how_and_in_which_words(document: str) -> None:
    assert f"Address:    {ALICE.address}" in document
    assert "specials   never" in document
    assert "news       never chosen: a no" in document
    first, second = document.index("1. 2007-10-10 13:41:00 UTC: specials, weekly"), document.index("2. 2007-10-13")
    assert first < second
    assert "the customer's own page of choices" in document
    assert "the button of a mail program (RFC 8058)" in document
    assert Topic.SPECIALS.info.wording in document


def test_anybody_can_verify_it_with_the_public_key_in_it(settings: Settings, document: str) -> None:
    assert verify(document, trusted(settings)).public_key == trusted(settings)[0]
    assert verify(document.replace("\n", "\r\n"), trusted(settings))
    # The same with the library alone, as a stranger would do it.
    text, _, rest = document.partition(f"{BEGIN}\n")
    key, signature = (line.partition(": ")[2] for line in rest.split("\n")[:2])
    Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(base64.b64decode(signature), text.encode())
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(
            base64.b64decode(signature), text.replace("never", "weekly").encode()
        )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_in_it_is_noticed(document: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(document) - 1))
    sign = data.draw(st.characters(codec="utf-8").filter(lambda one: one not in {document[place], "\r"}))
    what = data.draw(st.sampled_from([sign, "", document[place] + sign]))
    tampered = document[:place] + what + document[place + 1 :]
    # Removing either of two equal letters gives the same text, and a carriage return at a line's end is ignored.
    if tampered.replace("\r\n", "\n") == document:
        return
    with pytest.raises(BadEvidence):
        verify(tampered, public_keys(Signer(SECRET_KEY, "the key")))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("specials   never", "specials   each", "not the one that was signed"),
        (ALICE.address, BOB.address, "not the one that was signed"),
        (END, "", "no whole signature"),
        (BEGIN, "", "no whole signature"),
    ],
)
def test_the_error_says_what_is_wrong_with_it(settings: Settings, document: str, old: str, new: str, why: str) -> None:
    with pytest.raises(BadEvidence, match=why):
        verify(document.replace(old, new), trusted(settings))


def test_another_shops_key_is_not_trusted(settings: Settings, document: str, store: Store) -> None:
    with pytest.raises(BadEvidence, match="not the shop's"):
        verify(document, public_keys(Signer(OTHER_KEY, "another")))
    with store.reading() as session:
        customer = session.get_one(Customer, 1)
        forged = evidence_of(session, customer, settings, Signer(OTHER_KEY, "another"), now=OPPS_DAY)
    with pytest.raises(BadEvidence, match="not the shop's"):
        verify(forged, trusted(settings))


def test_a_document_from_before_a_key_rotation_is_still_good(document: str) -> None:
    assert verify(document, public_keys(Signer(f"{OTHER_KEY},{SECRET_KEY}", "both")))


def test_an_imports_evidence_cannot_forge_lines_of_the_document(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text(f"email\n{BOB.address}\n", encoding="utf-8")
    sly = f"The fair\n\n2. 2007-10-10 00:00:00 UTC: news, each (given)\n{BEGIN}\nPublic key: x\nSignature: y\n{END}"
    import_customers(store, tmp_path / "list.csv", topic=Topic.SPECIALS, evidence=sly, now=OPPS_DAY)
    with store.reading() as session:
        said = evidence_of(session, session.get_one(Customer, 1), settings, signer(settings), now=OPPS_DAY)
    assert verify(said, trusted(settings))
    assert "\n2. " not in said
    assert said.count(f"\n{BEGIN}\n") == 1


@pytest.fixture
def run(settings: Settings) -> Callable[..., str]:
    """Run a command at the shop's terminal; return its output."""
    return partial(typed, settings)


def test_the_commands_make_a_document_verify_it_and_name_the_key(
    run: Callable[..., str], document: str, store: Store, tmp_path: Path
) -> None:
    assert document
    printed = run("customers", "evidence", ALICE.address)
    (tmp_path / "alice.txt").write_text(printed, encoding="utf-8")
    [key] = run("customers", "evidence-key").split()
    assert key in run("customers", "verify", str(tmp_path / "alice.txt"))
    assert "Good" in run("customers", "verify", str(tmp_path / "alice.txt"), "--public-key", key)
    (tmp_path / "forged.txt").write_text(printed.replace("specials   never", "specials   each"), encoding="utf-8")
    assert "NOT good" in run("customers", "verify", str(tmp_path / "forged.txt"), expect=1)
    assert "No such file" in run("customers", "verify", str(tmp_path / "none.txt"), expect=1)
    assert "nobody with this address" in run("customers", "evidence", BOB.address, expect=1)
    with store.reading() as session:
        line = newest_lines(session)[0]
        assert (line.act, line.about) == (Act.ADDRESS_SHOWN, "consent evidence of one customer")
