"""DKIM signatures: an independent verifier accepts them, and nothing that they cover can be changed or added."""

from collections.abc import Callable
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from feedback_app.config import Settings, load_settings
from feedback_app.customers.models import LetterFormat
from feedback_app.customers.services import Person
from feedback_app.mailing.gate.check import GateRefused, check
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.dkim import dkim_keys
from feedback_app.mailing.letters.mailing_letters import MailingLetters
from feedback_app.security.crypto import KeyProblem
from feedback_app.security.tokens import Signer
from tests.support.clock import OPPS_DAY
from tests.support.keys import SECRET_KEY
from tests.support.mailings import FREE_SOCKS

ALICE = Person(1, "alice@example.com", "Älice  Adams")
KEYS: dict[str, Callable[[], PrivateKeyTypes]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ed": ed25519.Ed25519PrivateKey.generate,
}


def settings_with(tmp_path: Path, **keys: PrivateKeyTypes) -> Settings:
    """Return the settings of a shop with these keys, by selector."""
    settings = load_settings({"UNDISCLOSED_INSTANCE": str(tmp_path), "UNDISCLOSED_SITE_URL": "https://socks.example"})
    settings.keys.mkdir(exist_ok=True)
    for selector, key in keys.items():
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (settings.keys / f"dkim-{selector}.pem").write_bytes(pem)
    return settings


def letter_of(settings: Settings, form: LetterFormat = LetterFormat.HTML) -> bytes:
    desk = LetterContext.of(settings, Signer(SECRET_KEY, "the signing key"))
    return MailingLetters(desk, FREE_SOCKS, 1).letter(ALICE, form, now=OPPS_DAY).data


def verified(letter: bytes, settings: Settings, number: int = 0) -> bool:
    """Return whether the verifier accepts a letter's signature, with the DNS records that the shop publishes."""
    records = {f"{key.selector}._domainkey.mongrelsocks.example.": key.record() for key in dkim_keys(settings)}
    verifier = dkim.DKIM(letter)
    try:
        return bool(verifier.verify(number, dnsfunc=lambda name, **_: records[name.decode()].encode()))
    except dkim.ValidationError:
        return False


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", LetterFormat)
def test_a_letter_is_signed_and_an_independent_verifier_agrees(kind: str, form: LetterFormat, tmp_path: Path) -> None:
    settings = settings_with(tmp_path, s2007=KEYS[kind]())
    letter = letter_of(settings, form)
    assert letter.startswith(b"DKIM-Signature: ")
    assert letter.count(b"DKIM-Signature:") == 1
    assert verified(letter, settings)
    for was, becomes in (
        (b"List-Unsubscribe-Post: List", b"List-Unsubscribe-Post: Lost"),
        (b"List-Unsubscribe: <https://socks", b"List-Unsubscribe: <https://sucks"),
        (b"Subject: Free", b"Subject: Freed"),
        (b"Hello", b"Hallo"),
    ):
        assert was in letter
        assert not verified(letter.replace(was, becomes, 1), settings)
    # A header that is signed as missing can't be added on the way.
    assert not verified(letter.replace(b"\r\nSubject:", b"\r\nReply-To: x@y.example\r\nSubject:", 1), settings)
    # Servers on the way may change blanks.
    assert verified(letter.replace(b"Subject: Free socks", b"SUBJECT:  Free\r\n  socks", 1), settings)


def test_a_letter_can_be_signed_with_both_kinds_of_keys(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, old=KEYS["rsa"](), new=KEYS["ed"]())
    letter = letter_of(settings)
    assert letter.count(b"DKIM-Signature:") == 2
    assert verified(letter, settings, 0)
    assert verified(letter, settings, 1)


def test_without_a_key_no_letter_is_signed(tmp_path: Path) -> None:
    assert b"DKIM-Signature" not in letter_of(settings_with(tmp_path))


def test_a_file_that_is_no_key_is_refused_by_name(tmp_path: Path) -> None:
    settings = settings_with(tmp_path)
    path = settings.keys / "dkim-a.pem"
    path.write_text("not a key")
    with pytest.raises(KeyProblem, match=r"dkim-a\.pem: this is not a private key"):
        dkim_keys(settings)
    settings_with(tmp_path, a=ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(KeyProblem, match=r"dkim-a\.pem: a DKIM key is RSA"):
        dkim_keys(settings)
    path.rename(settings.keys / "dkim-a b.pem")
    with pytest.raises(KeyProblem, match="a selector is made of"):
        dkim_keys(settings)


def test_two_keys_of_one_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="more DKIM keys than one RSA and one Ed25519"):
        dkim_keys(settings_with(tmp_path, a=KEYS["ed"](), b=KEYS["ed"]()))


@pytest.mark.parametrize(
    ("was", "becomes"),
    [(b"v=1;", b"v=1; i=bob@y.example;"), (b"c=relaxed/relaxed;", b"c=relaxed/relaxed; l=0;"), (b" s=s1", b" s=b@y.e")],
)
def test_the_gate_stops_a_signature_that_says_more_than_it_should(was: bytes, becomes: bytes, tmp_path: Path) -> None:
    letter = letter_of(settings_with(tmp_path, s1=KEYS["ed"]()))
    said = {"sender": "hello@mongrelsocks.example", "recipient": ALICE.address}
    check(letter, **said, own=())
    assert was in letter
    with pytest.raises(GateRefused, match="signature says more"):
        check(letter.replace(was, becomes, 1), **said, own=())
    with pytest.raises(GateRefused, match="does not set: dkim-signature"):
        check(letter.replace(b"\r\nSubject:", b"\r\nDKIM-Signature: v=1\r\nSubject:", 1), **said, own=())
