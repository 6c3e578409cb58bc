"""The letters of a mailing: what all have in common is made once, and each letter fills its slots."""

import secrets
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from html import escape

from feedback_app.customers.models import LetterFormat
from feedback_app.customers.services import Person
from feedback_app.i18n import said
from feedback_app.mailing.gate.fast_path import CheckedTemplate, check_template
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.gate.template import LetterTemplate, Slot, SlotValues
from feedback_app.mailing.letters import mime
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.letters.templates import render_html, render_text
from feedback_app.mailing.mailings.source import PLACEHOLDERS, MailingSource, fill_html, fill_text, source_html
from feedback_app.mailing.return_addresses import ReturnAddresses
from feedback_app.mailing.text.from_html import plain_text


class MailingLetters:
    """Makes the letters of one mailing in one language. Rendering, styling and encoding are done once for all."""

    def __init__(
        self, context: LetterContext, source: MailingSource, mailing_id: int | None, language: str | None = None
    ) -> None:
        """Render a checked source in a language, or in the shop's. Without `mailing_id` the letters are samples."""
        self._language = language or context.language_of(None)
        self._context = context
        self._source = source
        self._mailing_id = mailing_id
        self._sender = context.sender
        self._own_addresses = context.settings.own_addresses
        self._return_addresses = ReturnAddresses(context.signer, context.settings.mail_from)
        text, html = self._render()
        self._templates = {
            LetterFormat.TEXT: self._make_template(text, None),
            LetterFormat.HTML: self._make_template(text, html),
        }
        self._checked: dict[LetterFormat, CheckedTemplate | None] = {}

    def template(self, form: LetterFormat) -> LetterTemplate:
        """Return what all letters of a format have in common."""
        return self._templates[form]

    def letter(self, person: Person, form: LetterFormat, *, now: datetime, message_id: str | None = None) -> Letter:
        """Return the letter to one person; `message_id` may be known from the ledger. Raises GateRefused."""
        context = self._context
        message_id = message_id or self._message_id(person)
        name = person.name or self._source.nameless
        data = self._templates[form].fill(
            SlotValues(
                to=mime.mailbox(person.name, person.address).encode(),
                date=_date_header(now).encode(),
                message_id=message_id.encode(),
                unsubscribe=context.unsubscribe_token(person.id, self._source.topic, now).encode(),
                preferences=context.preferences_token(person.id, now, person.series).encode(),
                name=mime.encode_slot_value(name),
                name_in_html=mime.encode_slot_value(escape(name)),
            )
        )
        return_to = self._return_addresses.address(self._mailing_id, person.id) if self._mailing_id else self._sender
        return Letter(
            return_to,
            person.address,
            message_id,
            context.signed(data),
            self._own_addresses,
            author=self._sender,
            checked_template=self._checked_template(form),
        )

    def _message_id(self, person: Person) -> str:
        if self._mailing_id:
            return self._context.mailing_message_id(self._mailing_id, person.id)
        return self._context.message_id("mailing", secrets.token_hex(16))

    def _render(self) -> tuple[str, str]:
        """Return the text and the HTML of all letters, with a gap for each slot."""
        settings = self._context.settings
        gaps = {name: f"\ue000{name}\ue001" for name in PLACEHOLDERS}
        values: dict[str, object] = {
            **gaps,
            "shop": settings.shop_name,
            "postal": settings.shop_postal,
            "why": said(self._source.topic.info.why, self._language),
            "subject": self._source.subject,
            "home": settings.site_url,
        }
        fillings = {
            "name": Slot.NAME.gap,
            "shop": settings.shop_name,
            "preferences_link": self._context.preferences_url + Slot.PREFERENCES.gap,
            "unsubscribe_link": self._context.unsubscribe_url + Slot.UNSUBSCRIBE.gap,
        }
        body = source_html(self._source)
        text = render_text("mailing", self._language, {**values, "body": plain_text(body)})
        html = render_html("mailing", self._language, {**values, "body": fill_html(body, gaps)})
        return fill_text(text, fillings), fill_html(html, {**fillings, "name": Slot.NAME_IN_HTML.gap})

    def _make_template(self, text: str, html: str | None) -> LetterTemplate:
        context = self._context
        headers = [
            *context.headers(to=Slot.TO.gap, subject=self._source.subject, message_id=Slot.MESSAGE_ID.gap),
            ("List-Unsubscribe", f"<{context.unsubscribe_url}{Slot.UNSUBSCRIBE.gap}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-Id", f"<{self._source.topic}.{context.domain}>"),
        ]
        boundary = secrets.token_hex(12)
        return LetterTemplate.of(
            mime.message(headers, date=Slot.DATE.gap, boundary=boundary, text=text, html=html, slots=True)
        )

    def _checked_template(self, form: LetterFormat) -> CheckedTemplate | None:
        # Checked for the first letter: a format in which no letter is made needs no check.
        if form not in self._checked:
            self._checked[form] = check_template(self._templates[form], sender=self._sender, own=self._own_addresses)
        return self._checked[form]


# A batch of letters is made at one moment.
@lru_cache(maxsize=16)
def _date_header(now: datetime) -> str:
    return format_datetime(now)
