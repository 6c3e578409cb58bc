"""Consent evidence: what a customer agreed to, as a document that people can read and a program can verify.

It is signed with Ed25519 (RFC 8032), in UTF-8 with a line feed at the end of each line. Verifying ignores CR LF, so
that a mail program that changes line ends does not break the signature.
"""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy.orm import Session

from feedback_app.config import Settings
from feedback_app.customers.consent import frequencies, history
from feedback_app.customers.models import Customer, Suppression, Wording
from feedback_app.customers.services import address_of
from feedback_app.customers.topics import Topic
from feedback_app.customers.words import EVIDENCE_CHANNEL_WORDS
from feedback_app.security.tokens import Signer

BEGIN, END = "-----BEGIN SIGNATURE (ED25519)-----", "-----END SIGNATURE-----"
KEY, SIGNATURE = "Public key: ", "Signature: "


class BadEvidence(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The document is not what was signed; the message says how."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A document that is unchanged since it was signed, with this key (base64)."""

    public_key: str


def public_keys(signer: Signer) -> list[str]:
    """Return the shop's public keys (32 bytes, base64), the one that signs now first."""
    return [_public(Ed25519PrivateKey.from_private_bytes(seed)) for seed in signer.evidence_seeds]


def evidence_of(session: Session, customer: Customer, settings: Settings, signer: Signer, *, now: datetime) -> str:
    """Return a customer's consent record in words, signed. Raises CannotOpen."""
    text = "\n".join(_lines(session, customer, settings, now)) + "\n"
    key = Ed25519PrivateKey.from_private_bytes(signer.evidence_seeds[0])
    signature = base64.b64encode(key.sign(text.encode())).decode()
    return f"{text}{BEGIN}\n{KEY}{_public(key)}\n{SIGNATURE}{signature}\n{END}\n"


def verify(document: str, trusted: list[str]) -> Verified:
    """Verify that a document is unchanged, and signed with one of these keys. Raises BadEvidence."""
    text, begin, rest = document.replace("\r\n", "\n").rpartition(f"{BEGIN}\n")
    lines = rest.split("\n")
    shaped = begin and len(lines) == 4 and lines[0].startswith(KEY) and lines[1].startswith(SIGNATURE)  # noqa: PLR2004
    if not shaped or lines[2] != END or lines[3]:
        message = "there is no whole signature at the document's end"
        raise BadEvidence(message)
    public_key = lines[0].removeprefix(KEY)
    if public_key not in trusted:
        message = "it is signed with a key that is not the shop's"
        raise BadEvidence(message)
    try:
        signature = base64.b64decode(lines[1].removeprefix(SIGNATURE), validate=True)
        Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True)).verify(signature, text.encode())
    except (InvalidSignature, binascii.Error, ValueError):
        message = "its text is not the one that was signed"
        raise BadEvidence(message) from None
    return Verified(public_key)


def _public(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _lines(session: Session, customer: Customer, settings: Settings, now: datetime) -> list[str]:
    chosen, barred = frequencies(session, customer), session.get(Suppression, customer.fingerprint)
    confirmed = f"{customer.confirmed_at:%Y-%m-%d %H:%M} UTC" if customer.confirmed_at else "never"
    head = [
        "Consent evidence",
        "================",
        "",
        f"Shop:       {_one_line(settings.shop_name)}, {settings.site_url}",
        f"Address:    {address_of(session, customer).written}",
        f"Known since {customer.created_at:%Y-%m-%d %H:%M} UTC; the address was shown to be theirs: {confirmed}",
        f"Written:    {now:%Y-%m-%d %H:%M} UTC",
        "",
        "What is in force",
        "----------------",
        "",
        *(f"{topic.value:<10} {chosen[topic].value if topic in chosen else 'never chosen: a no'}" for topic in Topic),
    ]
    if customer.pause_until and customer.pause_until > now.date():
        head.append(f"Nothing is written until {customer.pause_until:%Y-%m-%d}.")
    if barred:
        head.append(f"The address must not be written to ({barred.reason}, since {barred.at:%Y-%m-%d}).")
    return [*head, "", "The record, oldest first", "------------------------", "", *_record(session, customer)]


def _record(session: Session, customer: Customer) -> list[str]:
    lines = []
    for number, event in enumerate(history(session, customer), 1):
        wording = session.get_one(Wording, event.wording_hash).text
        lines += [
            f"{number}. {event.at:%Y-%m-%d %H:%M:%S} UTC: {event.topic}, {event.frequency} ({event.action})",
            f"   through: {EVIDENCE_CHANNEL_WORDS[event.channel]}",
            f"   to the words: “{_one_line(wording)}” (SHA-256 {event.wording_hash.hex()})",
        ]
        lines += [f"   noted as evidence: “{_one_line(event.evidence)}”"] if event.evidence else []
        lines.append("")
    return lines or ["There is nothing in it.", ""]


def _one_line(text: str) -> str:
    """Return a text as one line, so that it can't pass for other lines of the document."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
