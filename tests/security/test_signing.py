"""The signatures of cookies and forms, and what is signed, are the libraries' own, also where it is made once."""

from datetime import UTC, datetime

import pytest
from flask.sessions import session_json_serializer
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import BadSignature, SignatureExpired, URLSafeSerializer, URLSafeTimedSerializer
from markupsafe import Markup

from feedback_app.security.signing import Cookies, Seals
from feedback_app.web.app_class import Sessions

KEYS = ["an old key", "the key of today"]
HMAC = {"key_derivation": "hmac"}
said = st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.integers()))
kept = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    # What is kept of these: markup as markup, a moment to the second.
    | st.builds(Markup, st.text())
    | st.uuids()
    | st.just(datetime(2007, 10, 10, tzinfo=UTC)),
    lambda more: st.lists(more) | st.tuples(more, more) | st.dictionaries(st.text() | st.just(" t"), more),
)


@given(said)
def test_what_one_signs_the_other_reads(words: dict[str, object]) -> None:
    ours, theirs = (kind(KEYS, salt="session", signer_kwargs=HMAC) for kind in (Cookies, URLSafeTimedSerializer))
    assert theirs.loads(ours.dumps(words), max_age=60) == words
    assert ours.loads(theirs.dumps(words), max_age=60) == words
    seals, others = Seals(KEYS, salt="form"), URLSafeSerializer(KEYS, salt="form")
    assert others.loads(seals.dumps(words)) == seals.loads(others.dumps(words)) == words


def test_a_key_of_before_still_reads_and_a_stranger_s_does_not() -> None:
    ours = Cookies(KEYS, salt="session")
    assert ours.loads(URLSafeTimedSerializer(KEYS[0], salt="session").dumps("Nora")) == "Nora"
    for stranger in (URLSafeTimedSerializer("another", salt="session"), URLSafeTimedSerializer(KEYS, salt="form")):
        with pytest.raises(BadSignature):
            ours.loads(stranger.dumps("Nora"))
    with pytest.raises(BadSignature):
        ours.loads(ours.dumps("Nora") + "x")


def test_a_cookie_ends_with_its_time() -> None:
    ours = Cookies(KEYS, salt="session")
    with pytest.raises(SignatureExpired):
        ours.loads(ours.dumps("Nora"), max_age=-1)


@given(st.dictionaries(st.text(), kept))
def test_a_session_is_written_as_flask_writes_and_reads_it(session: dict[str, object]) -> None:
    ours, theirs = Sessions.serializer, session_json_serializer
    assert ours.loads(theirs.dumps(session)) == theirs.loads(ours.dumps(session)) == session
