"""Every state and choice has its words."""

from collections.abc import Mapping
from enum import StrEnum

import pytest

from feedback_app.customers import words
from feedback_app.customers.models import ConsentAction, ConsentChannel, Frequency, LetterFormat, NameDisplay
from feedback_app.mailing.models import DeliveryState
from feedback_app.mailing.words import DELIVERY_STATE_WORDS


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        (words.FREQUENCY_WORDS, Frequency),
        (words.FORMAT_WORDS, LetterFormat),
        (words.NAME_DISPLAY_WORDS, NameDisplay),
        (words.CONSENT_ACTION_WORDS, ConsentAction),
        (words.EVIDENCE_CHANNEL_WORDS, ConsentChannel),
        (DELIVERY_STATE_WORDS, DeliveryState),
    ],
)
def test_every_member_of_an_enum_has_words(table: Mapping[StrEnum, str], kind: type[StrEnum]) -> None:
    assert set(table) == set(kind)
