"""Letters to customers about themselves: a link to their preferences, a subscription, a change of address.

None of them names the customer: the address may have been typed by a person who does not own it.
"""

from datetime import datetime

from sqlalchemy.orm import Session

from feedback_app.customers.address_changes import AddressSide, addresses_of_change
from feedback_app.customers.addresses import Address
from feedback_app.customers.models import AddressChange, Customer
from feedback_app.customers.services import Person, suppression_of
from feedback_app.customers.subscriptions import SubscriptionRequest, is_subscribed
from feedback_app.customers.words import FREQUENCY_WORDS
from feedback_app.i18n import marked, said, small
from feedback_app.letter_queue import LetterRequest, NotWanted
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.single_letter import single_letter, unnamed_recipient_of
from feedback_app.security.link_lifetimes import LINK_DAYS, sign_link
from feedback_app.security.tokens import Claim, Purpose

LINK_SUBJECT = marked("Your link to %(shop)s")
SUBSCRIBE_SUBJECT = marked("Letters from %(shop)s?")
CHANGE_SUBJECT = marked("Another address for letters from %(shop)s?")
CHANGED_SUBJECT = marked("%(shop)s writes to your new address now")


def preferences_link(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the letter with a link to the customer's preferences."""
    recipient = unnamed_recipient_of(session, context, request)
    return single_letter(
        context,
        recipient,
        template="preferences_link",
        subject=_subject(LINK_SUBJECT, context, recipient),
        message_id=context.message_id("link", request.id),
        headers=[("Auto-Submitted", "auto-replied")],
        values={
            "days": LINK_DAYS[Purpose.PREFERENCES],
            "preferences_link": context.preferences_link(recipient.id, now, recipient.series),
        },
        now=now,
    )


def confirm_subscription(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the letter that asks whether the customer wants letters at all."""
    recipient = unnamed_recipient_of(session, context, request)
    subscription = SubscriptionRequest.of_code(request.about or 0)
    customer = session.get_one(Customer, recipient.id)
    claim = Claim(Purpose.SUBSCRIBE, recipient.id, subscription.code)
    token = sign_link(context.signer, claim, now=now)
    language = context.language_of(recipient)
    return single_letter(
        context,
        recipient,
        template="confirm_subscription",
        subject=_subject(SUBSCRIBE_SUBJECT, context, recipient),
        message_id=context.message_id("confirm subscription", request.id),
        headers=[("Auto-Submitted", "auto-generated")],
        values={
            "already": is_subscribed(session, customer, subscription),
            "wordings": [said(topic.info.wording, language) for topic in subscription.topics],
            "frequency": small(said(FREQUENCY_WORDS[subscription.frequency], language)),
            "days": LINK_DAYS[Purpose.SUBSCRIBE],
            "confirm_link": f"{context.settings.site_url}/feedback/subscribe/{token}",
            "preferences_link": context.preferences_link(recipient.id, now, recipient.series),
        },
        now=now,
    )


def confirm_change_at_old_address(
    session: Session, context: LetterContext, request: LetterRequest, now: datetime
) -> Letter:
    """Return the letter to the old address that asks whether letters should go to a new one. Raises NotWanted."""
    return _confirm_change(session, context, request, AddressSide.OLD, now)


def confirm_change_at_new_address(
    session: Session, context: LetterContext, request: LetterRequest, now: datetime
) -> Letter:
    """Return the letter to the new address that asks whether letters should go there. Raises NotWanted."""
    return _confirm_change(session, context, request, AddressSide.NEW, now)


def _confirm_change(
    session: Session, context: LetterContext, request: LetterRequest, side: AddressSide, now: datetime
) -> Letter:
    change = _change_of(session, request)
    if change.done_at is not None:
        message = "the address is changed already"
        raise NotWanted(message)
    addresses = addresses_of_change(session, change)
    if side is AddressSide.NEW and suppression_of(session, addresses.new):
        message = "the new address must not be written to"
        raise NotWanted(message)
    purpose = Purpose.CHANGE_FROM if side is AddressSide.OLD else Purpose.CHANGE_TO
    token = sign_link(context.signer, Claim(purpose, change.id), now=now)
    recipient = _unnamed(session, change, addresses.old if side is AddressSide.OLD else addresses.new)
    return single_letter(
        context,
        recipient,
        template=f"change_{side.value}",
        subject=_subject(CHANGE_SUBJECT, context, recipient),
        message_id=context.message_id(f"change {side.value}", request.id),
        headers=[("Auto-Submitted", "auto-generated")],
        values={
            "days": LINK_DAYS[purpose],
            "change_link": f"{context.settings.site_url}/feedback/address/{side.value}/{token}",
        },
        now=now,
    )


def address_changed(session: Session, context: LetterContext, request: LetterRequest, now: datetime) -> Letter:
    """Return the last letter to the old address: from now on letters go to the new one. Raises NotWanted."""
    change = _change_of(session, request)
    recipient = _unnamed(session, change, addresses_of_change(session, change).old)
    return single_letter(
        context,
        recipient,
        template="address_changed",
        subject=_subject(CHANGED_SUBJECT, context, recipient),
        message_id=context.message_id("address changed", request.id),
        headers=[("Auto-Submitted", "auto-generated")],
        values={},
        now=now,
    )


def _subject(text: str, context: LetterContext, recipient: Person) -> str:
    return said(text, context.language_of(recipient)) % {"shop": context.settings.shop_name}


def _unnamed(session: Session, change: AddressChange, address: Address) -> Person:
    """Return the customer of a change at one of its two addresses, without their name."""
    language = session.get_one(Customer, change.customer_id).language
    return Person(change.customer_id, address.written, None, language=language)


def _change_of(session: Session, request: LetterRequest) -> AddressChange:
    change = session.get(AddressChange, request.about)
    if change is None:
        message = "another change has taken its place"
        raise NotWanted(message)
    return change
