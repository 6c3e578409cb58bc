"""The signatures of cookies and forms, as itsdangerous makes and reads them, with what they need made once.

The library derives its keys anew, and builds what signs, for everything that is signed or read: for every request.
"""

import hmac
from functools import cache
from typing import Any

from itsdangerous import Serializer, Signer, TimestampSigner, URLSafeSerializer, URLSafeTimedSerializer
from itsdangerous.encoding import base64_encode
from itsdangerous.signer import SigningAlgorithm


@cache
def _begun(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha1")


class _Hmac(SigningAlgorithm):
    """The library's own algorithm, HMAC with SHA-1 (RFC 2104), begun once for every key."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        signature = _begun(key).copy()
        signature.update(value)
        return signature.digest()


class _Signer(Signer):
    def __init__(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - the base's signature
        super().__init__(*args, **more)
        self.algorithm = _Hmac()
        self.derive_key = cache(self.derive_key)  # type: ignore[method-assign]


class _TimedSigner(_Signer, TimestampSigner):
    pass


class _MadeOnce(Serializer[str]):
    def __init__(self, *args: Any, **more: Any) -> None:  # noqa: ANN401 - the base's signature
        super().__init__(*args, **more)
        self.make_signer = cache(self.make_signer)  # type: ignore[method-assign]

    def dump_payload(self, obj: object) -> bytes:
        # Not compressed: these are a few words, and to find out that it makes them longer takes longer than to sign.
        return base64_encode(Serializer.dump_payload(self, obj))


class Seals(_MadeOnce, URLSafeSerializer):
    """Signs and reads what a form brings along."""

    default_signer = _Signer


class Cookies(_MadeOnce, URLSafeTimedSerializer):
    """Signs and reads cookies, with the time."""

    default_signer = _TimedSigner
