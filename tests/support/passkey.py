"""A passkey in software, in place of a phone or a security key (Web Authentication, Level 2)."""

import hashlib
import json
import re
import secrets
from base64 import urlsafe_b64encode
from html import unescape
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.support.signing_in import ADMIN, fill, token

_PRESENT, _HOLDS_A_KEY = 0x01, 0x40


class SoftPasskey:
    """A passkey for one site."""

    def __init__(self, origin: str = "http://localhost") -> None:
        """Make a new passkey, not registered yet."""
        self.origin = origin
        self.id = secrets.token_bytes(32)
        self.count = 0
        self._key = generate_private_key(SECP256R1())

    def made(self, options: dict[str, Any]) -> str:
        """Return a browser's answer to a request to create a passkey."""
        numbers = self._key.public_key().public_numbers()
        public = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        kept = bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(public)
        said = {"fmt": "none", "attStmt": {}, "authData": self._data(_PRESENT | _HOLDS_A_KEY) + kept}
        return self._credential(
            clientDataJSON=_plain(self._client("webauthn.create", options)),
            attestationObject=_plain(cbor2.dumps(said)),
            transports=["internal"],
        )

    def answer(self, options: dict[str, Any]) -> str:
        """Return a browser's answer to a request to use the passkey."""
        self.count += 1
        client, data = self._client("webauthn.get", options), self._data(_PRESENT)
        signature = self._key.sign(data + hashlib.sha256(client).digest(), ECDSA(SHA256()))
        return self._credential(
            clientDataJSON=_plain(client), authenticatorData=_plain(data), signature=_plain(signature), userHandle=None
        )

    def _client(self, kind: str, options: dict[str, Any]) -> bytes:
        said = {"type": kind, "challenge": options["challenge"], "origin": self.origin, "crossOrigin": False}
        return json.dumps(said).encode()

    def _data(self, flags: int) -> bytes:
        host = self.origin.partition("://")[2].partition(":")[0]
        return hashlib.sha256(host.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _credential(self, **response: Any) -> str:  # noqa: ANN401 - JSON
        return json.dumps({"id": _plain(self.id), "rawId": _plain(self.id), "type": "public-key", "response": response})


def _plain(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def options_of(page: str) -> dict[str, Any]:
    """Return the options that a page gives to the browser."""
    found = re.search(r'data-options="([^"]+)"', page)
    assert found, page
    options: dict[str, Any] = json.loads(unescape(found[1]))
    return options


def send(client: FlaskClient, page: str, credential: str) -> TestResponse:
    """Send a passkey's answer."""
    found = re.search(r'action="([^"]+)" data-passkey', page)
    assert found
    form = {"csrf_token": token(page), "credential": credential}
    return client.post(unescape(found[1]), data=form, follow_redirects=True)


def add_passkey(client: FlaskClient, name: str = "the phone") -> SoftPasskey:
    """Set up a passkey."""
    passkey = SoftPasskey()
    page = fill(client, f"{ADMIN}/passkeys", name=name).text
    assert f"The passkey {name} is set up" in unescape(send(client, page, passkey.made(options_of(page))).text)
    return passkey


def signed_in(client: FlaskClient) -> bool:
    return client.get(f"{ADMIN}/account").status_code == 200
