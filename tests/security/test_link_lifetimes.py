"""The table of link lifetimes."""

from datetime import UTC, datetime, timedelta

import pytest

from feedback_app.security.link_lifetimes import LINK_DAYS, sign_link
from feedback_app.security.tokens import Claim, ExpiredToken, Purpose, Signer
from tests.support.keys import SECRET_KEY

NOW = datetime(2007, 10, 10, 13, 41, tzinfo=UTC)
SIGNER = Signer(SECRET_KEY, "the signing key")


def test_every_purpose_has_a_lifetime() -> None:
    assert set(LINK_DAYS) == set(Purpose)


@pytest.mark.parametrize("purpose", Purpose)
def test_a_link_works_for_its_lifetime_and_no_longer(purpose: Purpose) -> None:
    claim = Claim(purpose, 7)
    token = sign_link(SIGNER, claim, now=NOW)
    last_day = NOW + timedelta(days=LINK_DAYS[purpose])
    assert SIGNER.read(token, purpose, now=last_day) == claim
    with pytest.raises(ExpiredToken):
        SIGNER.read(token, purpose, now=last_day + timedelta(days=1))
