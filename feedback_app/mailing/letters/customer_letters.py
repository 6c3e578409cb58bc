"""The letters to people about themselves: do they want letters from us, and at another address."""

from datetime import datetime

from sqlalchemy.orm import Session

from feedback_app.customers.address_changes import AddressSide, addresses_of_change
from feedback_app.customers.addresses import Address
from feedback_app.customers.models import AddressChange, Customer, LetterFormat
from feedback_app.customers.services import Person, suppression_of
from feedback_app.customers.subscriptions import SubscriptionRequest, is_subscribed
from feedback_app.customers.words import FREQUENCY_WORDS
from feedback_app.i18n import marked, said, small
from feedback_app.letter_queue import LetterRequest, NotWanted
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.composer import LetterContext, single_letter
from feedback_app.security.link_lifetimes import LINK_DAYS, sign_link
from feedback_app.security.tokens import Claim, Purpose

SUBSCRIBE_SUBJECT = marked("Letters from %(shop)s?")
CHANGE_SUBJECT = marked("Another address for letters from %(shop)s?")
CHANGED_SUBJECT = marked("%(shop)s writes to your new address now")


def confirm_subscription(
    session: Session, desk: LetterContext, reader: Person, request: LetterRequest, *, now: datetime
) -> Letter:
    """Is it true that you want to hear from us? It names nobody: whoever typed the address may not own it."""
    subscription = SubscriptionRequest.of_code(request.about or 0)
    customer = session.get_one(Customer, reader.id)
    claim = Claim(Purpose.SUBSCRIBE, reader.id, subscription.code)
    token = sign_link(desk.signer, claim, now=now)
    language = desk.language_of(reader)
    return single_letter(
        desk,
        reader._replace(name=None),
        template="confirm_subscription",
        subject=said(SUBSCRIBE_SUBJECT, language) % {"shop": desk.settings.shop_name},
        message_id=desk.message_id("confirm subscription", request.id),
        headers=[("Auto-Submitted", "auto-generated")],
        values={
            "already": is_subscribed(session, customer, subscription),
            "wordings": [said(topic.info.wording, language) for topic in subscription.topics],
            "frequency": small(said(FREQUENCY_WORDS[subscription.frequency], language)),
            "days": LINK_DAYS[Purpose.SUBSCRIBE],
            "confirm_link": f"{desk.settings.site_url}/feedback/subscribe/{token}",
            "preferences_link": desk.preferences_link(reader.id, now, reader.series),
        },
        form=LetterFormat.HTML,
        now=now,
    )


def change_of_address(
    session: Session, desk: LetterContext, request: LetterRequest, side: AddressSide, *, now: datetime
) -> Letter:
    """Is it true that you want letters at another address, or at this one? Raises NotWanted."""
    change = _change_of(session, request)
    if change.done_at is not None:
        message = "the address is changed already"
        raise NotWanted(message)
    both = addresses_of_change(session, change)
    if side is AddressSide.NEW and suppression_of(session, both.new):
        message = "the new address must not be written to"
        raise NotWanted(message)
    purpose = Purpose.CHANGE_FROM if side is AddressSide.OLD else Purpose.CHANGE_TO
    token = sign_link(desk.signer, Claim(purpose, change.id), now=now)
    address = both.old if side is AddressSide.OLD else both.new
    reader = _named_nowhere(session, change, address)
    return single_letter(
        desk,
        reader,
        template=f"change_{side.value}",
        subject=said(CHANGE_SUBJECT, desk.language_of(reader)) % {"shop": desk.settings.shop_name},
        message_id=desk.message_id(f"change {side.value}", request.id),
        headers=[("Auto-Submitted", "auto-generated")],
        values={
            "days": LINK_DAYS[purpose],
            "change_link": f"{desk.settings.site_url}/feedback/address/{side.value}/{token}",
        },
        form=LetterFormat.HTML,
        now=now,
    )


def address_changed(session: Session, desk: LetterContext, request: LetterRequest, *, now: datetime) -> Letter:
    """The last letter to the old address: from now on we write to the new one. Raises NotWanted."""
    change = _change_of(session, request)
    reader = _named_nowhere(session, change, addresses_of_change(session, change).old)
    return single_letter(
        desk,
        reader,
        template="address_changed",
        subject=said(CHANGED_SUBJECT, desk.language_of(reader)) % {"shop": desk.settings.shop_name},
        message_id=desk.message_id("address changed", request.id),
        headers=[("Auto-Submitted", "auto-generated")],
        values={},
        form=LetterFormat.HTML,
        now=now,
    )


def _named_nowhere(session: Session, change: AddressChange, address: Address) -> Person:
    language = session.get_one(Customer, change.customer_id).language
    return Person(change.customer_id, address.written, None, language=language)


def _change_of(session: Session, request: LetterRequest) -> AddressChange:
    change = session.get(AddressChange, request.about)
    if change is None:
        message = "another change has taken its place"
        raise NotWanted(message)
    return change
