"""Single letters: one letter to one person, made from a template of its own."""

import secrets
from datetime import datetime
from email.utils import format_datetime, parseaddr

from sqlalchemy.orm import Session

from feedback_app.customers.models import Customer, LetterFormat
from feedback_app.customers.services import Person, person
from feedback_app.letter_queue import LetterRequest, NotWanted
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.letters import mime
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.templates import render_html, render_text

OWNER_ID = 0


def recipient_of(session: Session, context: LetterContext, request: LetterRequest) -> Person:
    """Return who gets a letter: the customer, or the owner. Raises NotWanted if no owner is set, and CannotOpen."""
    if request.customer_id is not None:
        return person(session, session.get_one(Customer, request.customer_id))
    address = parseaddr(context.settings.owner_email or "")[1]
    if not address:
        message = "no owner is set"
        raise NotWanted(message)
    return Person(OWNER_ID, address, None)


def unnamed_recipient_of(session: Session, context: LetterContext, request: LetterRequest) -> Person:
    """Return who gets a letter, without their name: the address was typed by a person who may not own it."""
    return recipient_of(session, context, request)._replace(name=None)


def single_letter(
    context: LetterContext,
    recipient: Person,
    *,
    template: str,
    subject: str,
    message_id: str,
    headers: list[tuple[str, str]],
    values: dict[str, object],
    now: datetime,
    form: LetterFormat = LetterFormat.HTML,
    language: str | None = None,
) -> Letter:
    """Return a letter made from `mailing/TEMPLATE.txt` and `.html`, in its recipient's language.

    Letters to the owner name the language that they are written in. Raises GateRefused.
    """
    settings, language = context.settings, language or context.language_of(recipient)
    values = {
        "shop": settings.shop_name,
        "postal": settings.shop_postal,
        "home": settings.site_url,
        "subject": subject,
        **values,
    }
    to = mime.mailbox(recipient.name, recipient.address)
    message = mime.message(
        [*context.headers(to=to, subject=subject, message_id=message_id), *headers],
        date=format_datetime(now),
        boundary=secrets.token_hex(12),
        text=render_text(template, language, values),
        html=render_html(template, language, values) if form is LetterFormat.HTML else None,
    )
    data = context.signed(message.encode())
    return Letter(context.sender, recipient.address, message_id, data, settings.own_addresses)
