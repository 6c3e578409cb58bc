"""Tokens are for one person, one purpose and some days, and reveal nothing."""

import base64
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback_app.customers.topics import Topic
from feedback_app.security.crypto import KeyProblem, new_key
from feedback_app.security.tokens import BadToken, Claim, ExpiredToken, Purpose, Signer

KEY, OLD_KEY, OTHER_KEY = (f"a signing key of the tests: number {number}" for number in (1, 2, 3))
SIGNER = Signer(KEY, "the key")
NOW = datetime(2007, 10, 10, 13, 41, tzinfo=UTC)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

purposes = st.sampled_from(Purpose)
claims = st.builds(Claim, purposes, st.integers(1, 2**63 - 1), st.integers(0, 2**16 - 1))
moments = st.datetimes(datetime(2007, 10, 10), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the zone follows
days = st.integers(0, 10_000)


@given(claims, moments, days, st.integers(-20_000, 20_000), purposes)
def test_a_token_reads_back_for_its_purpose_and_time_only(
    claim: Claim, now: datetime, good_for: int, later: int, purpose: Purpose
) -> None:
    token = SIGNER.sign(claim, now=now, days=good_for)
    try:
        moment = now + timedelta(days=later)
    except OverflowError:
        return
    if purpose is not claim.purpose:
        with pytest.raises(BadToken):
            SIGNER.read(token, purpose, now=moment)
    elif later > good_for:
        with pytest.raises(ExpiredToken):
            SIGNER.read(token, purpose, now=moment)
    else:
        assert SIGNER.read(token, purpose, now=moment) == claim


def test_each_link_is_for_one_person_one_purpose_one_topic_and_one_day() -> None:
    codes = [0, *(topic.info.code for topic in Topic)]
    matrix = {
        (person, purpose, about, day): SIGNER.sign(
            Claim(purpose, person, about), now=NOW + timedelta(days=day), days=30
        )
        for person, purpose, about, day in product(range(1, 40), Purpose, codes, range(5))
    }
    assert len(set(matrix.values())) == len(matrix)
    for (person, purpose, about, _), token in matrix.items():
        assert SIGNER.read(token, purpose, now=NOW) == Claim(purpose, person, about)
        for other in set(Purpose) - {purpose}:
            with pytest.raises(BadToken):
                SIGNER.read(token, other, now=NOW)


def test_a_link_lasts_to_the_end_of_its_last_day_and_not_a_moment_longer() -> None:
    token = SIGNER.sign(Claim(Purpose.PREFERENCES, 1), now=NOW, days=30)
    last = datetime(2007, 11, 9, 23, 59, 59, 999_999, tzinfo=UTC)
    assert SIGNER.read(token, Purpose.PREFERENCES, now=last)
    with pytest.raises(ExpiredToken):
        SIGNER.read(token, Purpose.PREFERENCES, now=last + timedelta(microseconds=1))


def test_a_link_is_the_same_all_day_and_another_one_tomorrow() -> None:
    claim = Claim(Purpose.PREFERENCES, 1)
    morning, evening = NOW.replace(hour=0, minute=0), NOW.replace(hour=23, minute=59)
    assert SIGNER.sign(claim, now=morning, days=30) == SIGNER.sign(claim, now=evening, days=30)
    assert SIGNER.sign(claim, now=evening, days=30) != SIGNER.sign(claim, now=evening + timedelta(days=1), days=30)


@given(claims, moments, days)
def test_a_link_is_short_and_has_no_letter_that_mail_programs_break(claim: Claim, now: datetime, good_for: int) -> None:
    token = SIGNER.sign(claim, now=now, days=good_for)
    # No final `=` either: programs that look for links in a text drop it.
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,44}", token)


def test_any_cut_is_a_bad_token() -> None:
    token = SIGNER.sign(Claim(Purpose.UNSUBSCRIBE, 7, 1), now=NOW, days=30)
    pieces = {token[:end] for end in range(len(token))} | {token[start:] for start in range(1, len(token) + 1)}
    for piece in pieces:
        with pytest.raises(BadToken):
            SIGNER.read(piece, Purpose.UNSUBSCRIBE, now=NOW)


def test_any_changed_letter_is_a_bad_token() -> None:
    token = SIGNER.sign(Claim(Purpose.UNSUBSCRIBE, 7, 1), now=NOW, days=30)
    for place, letter in product(range(len(token)), ALPHABET + "+/= .é"):
        changed = token[:place] + letter + token[place + 1 :]
        if changed != token:
            with pytest.raises(BadToken):
                SIGNER.read(changed, Purpose.UNSUBSCRIBE, now=NOW)


@given(st.integers(1, 10_000))
def test_a_link_has_one_spelling_only(person: int) -> None:
    token = SIGNER.sign(Claim(Purpose.UNSUBSCRIBE, person, 1), now=NOW, days=30)
    respelled = {token.replace("-", "+"), token.replace("_", "/"), f"{token}=", f"{token}==", f"{token}\n", f" {token}"}
    for spelling in respelled - {token}:
        with pytest.raises(BadToken):
            SIGNER.read(spelling, Purpose.UNSUBSCRIBE, now=NOW)


@given(st.one_of(st.text(), st.text(ALPHABET, min_size=38, max_size=42), st.text("A", min_size=0, max_size=5000)))
def test_an_unsigned_text_is_a_bad_token(text: str) -> None:
    with pytest.raises(BadToken):
        SIGNER.read(text, Purpose.PREFERENCES, now=NOW)


def test_another_shops_link_is_a_bad_token() -> None:
    token = Signer(OTHER_KEY, "theirs").sign(Claim(Purpose.PREFERENCES, 1), now=NOW, days=30)
    with pytest.raises(BadToken):
        SIGNER.read(token, Purpose.PREFERENCES, now=NOW)


def test_links_of_a_rotated_key_are_good_until_it_is_taken_away() -> None:
    claim = Claim(Purpose.PREFERENCES, 1)
    old = Signer(OLD_KEY, "the key").sign(claim, now=NOW, days=30)
    rotated = Signer(f"{KEY}, {OLD_KEY}", "the key")
    assert rotated.read(old, Purpose.PREFERENCES, now=NOW) == claim
    assert rotated.sign(claim, now=NOW, days=30) == SIGNER.sign(claim, now=NOW, days=30)
    # Letters keep their identifiers, so that none is sent twice because of a rotation.
    assert rotated.identifier_key == Signer(OLD_KEY, "the key").identifier_key
    with pytest.raises(BadToken):
        SIGNER.read(old, Purpose.PREFERENCES, now=NOW)


def test_neighbours_links_have_nothing_in_common() -> None:
    sealed = [
        base64.urlsafe_b64decode(SIGNER.sign(Claim(Purpose.UNSUBSCRIBE, person, 1), now=NOW, days=30))
        for person in range(1, 2000)
    ]
    assert len({len(one) for one in sealed}) == 1
    same_byte = sum(left == right for a, b in pairwise(sealed) for left, right in zip(a, b, strict=True))
    compared = (len(sealed) - 1) * len(sealed[0])
    # Of random bytes, one in 256 equals its neighbour.
    assert abs(same_byte / compared - 1 / 256) < 0.002
    for person, one in enumerate(sealed, 1):
        assert person.to_bytes(4, "big") not in one
    assert sorted(sealed) != sealed


@pytest.mark.parametrize("text", ["", ",", " , ", "short", f"{KEY},short"])
def test_a_malformed_key_is_refused_by_name(text: str) -> None:
    with pytest.raises(KeyProblem, match="the signing key: "):
        Signer(text, "the signing key")


def test_a_new_key_signs() -> None:
    signer = Signer(new_key(), "the key")
    claim = Claim(Purpose.PREFERENCES, 1)
    assert signer.read(signer.sign(claim, now=NOW, days=1), Purpose.PREFERENCES, now=NOW) == claim


def test_links_sessions_and_identifiers_have_keys_of_their_own() -> None:
    assert SIGNER.identifier_key.hex() not in SIGNER.session_keys
    assert Signer(OTHER_KEY, "the key").session_keys != SIGNER.session_keys
