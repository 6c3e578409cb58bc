"""DKIM signatures (RFC 6376; RFC 8463 for Ed25519) for From's domain, which cover both unsubscribe headers.

A key is a file, `INSTANCE/keys/dkim-SELECTOR.pem`, as `openssl genpkey` writes it. An RSA key and an Ed25519 key can
both sign. Without a key letters are not signed.
"""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from feedback_app import clock
from feedback_app.config import Settings
from feedback_app.security.crypto import KeyProblem

# RFC 8301, 3.2.
SHORTEST_RSA = 1024
MOST_KEYS = 2
LINE = 72
_FOLD = "\r\n "
# Every header that a letter can have. If it is missing, signing its name keeps it from being added (RFC 6376, 5.4.2).
SIGNED = (
    "from", "to", "reply-to", "subject", "date", "message-id", "mime-version", "content-type",
    "content-transfer-encoding", "list-id", "list-unsubscribe", "list-unsubscribe-post", "auto-submitted",
)  # fmt: skip
_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_BLANKS = re.compile(rb"[ \t]+")
_BLANKS_AT_END = re.compile(rb"[ \t]+(?=\r\n)")


@dataclass(frozen=True, slots=True)
class DkimKey:
    """A private key, and the selector under which its public key is published."""

    selector: str
    private: RSAPrivateKey | Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        """The algorithm's name in DKIM."""
        return "rsa-sha256" if isinstance(self.private, RSAPrivateKey) else "ed25519-sha256"

    def record(self) -> str:
        """Return the TXT record to publish (RFC 6376, 3.6.1; RFC 8463, 4)."""
        public = self.private.public_key()
        if isinstance(self.private, RSAPrivateKey):
            form, coding = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.DER
            kind = "rsa"
        else:
            form, coding, kind = serialization.PublicFormat.Raw, serialization.Encoding.Raw, "ed25519"
        return f"v=DKIM1; k={kind}; p={base64.b64encode(public.public_bytes(coding, form)).decode()}"

    def sign(self, data: bytes) -> bytes:
        """Return the signature of some data."""
        if isinstance(self.private, RSAPrivateKey):
            return self.private.sign(data, PKCS1v15(), hashes.SHA256())
        # RFC 8463, 3: Ed25519 signs the hash, not the data.
        return self.private.sign(hashlib.sha256(data).digest())


def dkim_keys(settings: Settings) -> list[DkimKey]:
    """Return the keys in the instance's folder, sorted by selector. Raises KeyProblem, one line that names the file."""
    paths = sorted(settings.keys.glob("dkim-*.pem"))
    keys = [_read(path) for path in paths]
    if len({key.algorithm for key in keys}) < len(keys) or len(keys) > MOST_KEYS:
        message = f"{settings.keys}: there are more DKIM keys than one RSA and one Ed25519: move the old ones away"
        raise KeyProblem(message)
    return keys


def _read(path: Path) -> DkimKey:
    selector = path.stem.removeprefix("dkim-")
    if not _SELECTOR.fullmatch(selector):
        message = f"{path}: a selector is made of small letters, digits and hyphens: dkim-SELECTOR.pem"
        raise KeyProblem(message)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        message = f"{path}: can't be read ({error.strerror})"
        raise KeyProblem(message) from error
    except (ValueError, TypeError) as error:
        message = f"{path}: this is not a private key in PEM without a passphrase"
        raise KeyProblem(message) from error
    if isinstance(key, Ed25519PrivateKey) or (isinstance(key, RSAPrivateKey) and key.key_size >= SHORTEST_RSA):
        return DkimKey(selector, key)
    message = f"{path}: a DKIM key is RSA, of {SHORTEST_RSA} bits or more, or Ed25519"
    raise KeyProblem(message)


def make_dkim_signer(settings: Settings) -> Callable[[bytes], bytes] | None:
    """Return a function that takes a whole letter and returns its signature headers; None if there is no key.

    Raises KeyProblem.
    """
    keys = dkim_keys(settings)
    domain = parseaddr(settings.mail_from)[1].rpartition("@")[2].lower()
    return (lambda letter: signatures(letter, keys, domain, moment=int(clock.now().timestamp()))) if keys else None


def signatures(letter: bytes, keys: list[DkimKey], domain: str, *, moment: int) -> bytes:
    """Return a letter's `DKIM-Signature` headers, one per key. `moment` is in seconds since 1970."""
    head, _, body = letter.partition(b"\r\n\r\n")
    headers = _relaxed_headers(head)
    names = ":".join(SIGNED)
    digest = base64.b64encode(hashlib.sha256(_relaxed_body(body)).digest()).decode()
    signed = b"".join(headers.get(name, b"") for name in SIGNED)
    made = []
    for key in keys:
        tags = (
            f"v=1; a={key.algorithm}; c=relaxed/relaxed; d={domain}; s={key.selector}; t={moment};",
            *_folded(f"h={names};", ":"),
            f"bh={digest};",
        )
        value = _FOLD.join(tags) + "\r\n b="
        own = b"dkim-signature:" + _BLANKS.sub(b" ", value.replace("\r\n", "").encode())
        signature = base64.b64encode(key.sign(signed + own)).decode()
        lines = [signature[start : start + LINE] for start in range(0, len(signature), LINE)]
        made.append(f"DKIM-Signature: {value}{_FOLD.join(lines)}\r\n".encode())
    return b"".join(made)


def _folded(text: str, sign: str) -> list[str]:
    """Split a text behind a sign into lines."""
    lines, line = [], ""
    for piece in text.split(sign):
        if len(line) + len(piece) > LINE:
            lines.append(line)
            line = ""
        line += piece + sign
    return [*lines, line.removesuffix(sign)]


def _relaxed_headers(head: bytes) -> dict[str, bytes]:
    """Return the canonical headers by name (RFC 6376, 3.4.2). A letter has each at most once."""
    found = {}
    for line in re.split(rb"\r\n(?![ \t])", head):
        name, _, value = line.partition(b":")
        plain = _BLANKS.sub(b" ", value.replace(b"\r\n", b"")).strip()
        found[name.decode("ascii").strip().lower()] = name.strip().lower() + b":" + plain + b"\r\n"
    return found


def _relaxed_body(body: bytes) -> bytes:
    """Return a canonical body (RFC 6376, 3.4.4)."""
    plain = _BLANKS.sub(b" ", _BLANKS_AT_END.sub(b"", body)).rstrip(b"\r\n")
    return plain + b"\r\n" if plain else b""
