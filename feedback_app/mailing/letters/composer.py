"""What each kind of letter says: one function a kind, each making one `Letter`."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from hashlib import blake2b
from html import escape

from jinja2 import Environment, PackageLoader, StrictUndefined

from feedback_app.config import Settings
from feedback_app.customers.models import LetterFormat, Topic
from feedback_app.customers.services import Person
from feedback_app.i18n import ENGLISH, catalogue, marked, said
from feedback_app.mailing.gate.fast_path import KnownTemplate, get_to_know
from feedback_app.mailing.gate.letter import Letter
from feedback_app.mailing.gate.template import Filling, LetterTemplate, Slot
from feedback_app.mailing.letters import mime
from feedback_app.mailing.letters.dkim import sealer
from feedback_app.mailing.mailings.source import PLACEHOLDERS, MailingSource, fill_html, fill_text, source_html
from feedback_app.mailing.return_addresses import ReturnAddresses
from feedback_app.mailing.text.from_html import plain_text
from feedback_app.mailing.text.inline_css import inlined
from feedback_app.plurals import counted
from feedback_app.security.tokens import Claim, Purpose, Signer

PREFERENCES_DAYS = 30
UNSUBSCRIBE_DAYS = 730
WHY = {
    Topic.SPECIALS: marked("you chose to hear about our offers"),
    Topic.NEWS: marked("you chose to hear about new posts on our blog"),
    Topic.REPLIES: marked("you chose to hear about answers to your comments"),
}
LINK_SUBJECT = marked("Your link to %(shop)s")


@dataclass(frozen=True, slots=True)
class LetterContext:
    """What every letter is written with."""

    settings: Settings
    signer: Signer
    # Given a whole letter, what to put above it: its signatures.
    seal: Callable[[bytes], bytes] | None = None

    @classmethod
    def of(cls, settings: Settings, signer: Signer) -> "LetterContext":
        """The desk of a shop, with the keys that it signs with. Raises KeyProblem."""
        return cls(settings, signer, sealer(settings))

    @property
    def domain(self) -> str:
        """The shop's own domain, for identifiers."""
        return _domain_of(self.settings.mail_from)

    def language_of(self, person: Person | None) -> str:
        """The language of a person's letters: what they chose, where the shop still has it, or the shop's own."""
        languages = self.settings.languages
        return person.language if person is not None and person.language in languages else languages[0]

    @property
    def preferences_place(self) -> str:
        """Where the links to people's choices lead, up to what differs."""
        return f"{self.settings.site_url}/feedback/preferences/"

    @property
    def unsubscribe_place(self) -> str:
        """Where the links that end a topic lead, up to what differs."""
        return f"{self.settings.site_url}/feedback/unsubscribe/"

    def preferences_token(self, person: int, now: datetime, series: int = 0) -> str:
        """What opens a person's choices, of their series of links."""
        return self.signer.sign(Claim(Purpose.PREFERENCES, person, series), now=now, days=PREFERENCES_DAYS)

    def preferences_link(self, person: int, now: datetime, series: int = 0) -> str:
        """A link to a person's choices, of their series of links."""
        return self.preferences_place + self.preferences_token(person, now, series)

    def unsubscribe_token(self, person: int, topic: Topic, now: datetime) -> str:
        """What ends one topic for one person."""
        return self.signer.sign(Claim(Purpose.UNSUBSCRIBE, person, topic.code), now=now, days=UNSUBSCRIBE_DAYS)

    def unsubscribe_link(self, person: int, topic: Topic, now: datetime) -> str:
        """A link that ends one topic for one person."""
        return self.unsubscribe_place + self.unsubscribe_token(person, topic, now)

    def message_id(self, *about: object) -> str:
        """An identifier that is the same for the same letter, and tells nothing about it."""
        return self._identifier("/".join(map(str, about)))

    def mailing_message_id(self, mailing: int, customer: int) -> str:
        """The identifier of one customer's letter, which the ledger knows before it is made."""
        return self._identifier(f"mailing/{mailing}/{customer}")

    def _identifier(self, said: str) -> str:
        key = self.signer.identifier_key
        return f"<{blake2b(said.encode(), key=key, digest_size=16).hexdigest()}@{self.domain}>"


@lru_cache(maxsize=16)
def _domain_of(mail_from: str) -> str:
    return parseaddr(mail_from)[1].rpartition("@")[2].lower()


@lru_cache(maxsize=16)
def _dated(now: datetime) -> str:
    # A window of letters is made at one moment.
    return format_datetime(now)


class MailingMaker:
    """Makes the letters of one mailing: what is the same for all is rendered, styled and encoded once."""

    def __init__(
        self, desk: LetterContext, draft: MailingSource, mailing_id: int | None, language: str | None = None
    ) -> None:
        """Render a checked draft in a language's frame. Without a mailing the letters are samples."""
        self._language = language or desk.language_of(None)
        self._desk = desk
        self._draft = draft
        self._mailing_id = mailing_id
        self._sender = parseaddr(desk.settings.mail_from)[1]
        self._own = desk.settings.own_addresses
        self._returns = ReturnAddresses(desk.signer, desk.settings.mail_from)
        text, html = self._bodies()
        self._frames = {LetterFormat.TEXT: self._frame(text, None), LetterFormat.HTML: self._frame(text, html)}
        self._known: dict[LetterFormat, KnownTemplate | None] = {}

    def message_id(self, person: Person) -> str:
        """The identifier of a person's letter."""
        if self._mailing_id:
            return self._desk.mailing_message_id(self._mailing_id, person.id)
        return self._desk.message_id("mailing", secrets.token_hex(16))

    def letter(self, person: Person, form: LetterFormat, *, now: datetime, message_id: str | None = None) -> Letter:
        """The letter to one person, whose identifier may be known. Raises GateRefused."""
        desk = self._desk
        message_id = message_id or self.message_id(person)
        name = person.name or self._draft.nameless
        data = self._frames[form].filled(
            Filling(
                to=mime.mailbox(person.name, person.address).encode(),
                date=_dated(now).encode(),
                message_id=message_id.encode(),
                unsubscribe=desk.unsubscribe_token(person.id, self._draft.topic, now).encode(),
                preferences=desk.preferences_token(person.id, now, person.series).encode(),
                name=mime.quoted(name),
                name_in_html=mime.quoted(escape(name)),
            )
        )
        if desk.seal:
            data = desk.seal(data) + data
        return_to = self._returns.address(self._mailing_id, person.id) if self._mailing_id else self._sender
        return Letter(
            return_to, person.address, message_id, data, self._own, author=self._sender, known=self._known_frame(form)
        )

    def _bodies(self) -> tuple[str, str]:
        """What the letters say, as text and as HTML, with a gap for what differs."""
        settings = self._desk.settings
        gaps = {name: f"\ue000{name}\ue001" for name in PLACEHOLDERS}
        around = {
            **gaps,
            "shop": settings.shop_name,
            "postal": settings.shop_postal,
            "why": said(WHY[self._draft.topic], self._language),
            "subject": self._draft.subject,
            "home": settings.site_url,
        }
        values = {
            "name": Slot.NAME.gap,
            "shop": settings.shop_name,
            "preferences_link": self._desk.preferences_place + Slot.PREFERENCES.gap,
            "unsubscribe_link": self._desk.unsubscribe_place + Slot.UNSUBSCRIBE.gap,
        }
        rendered = source_html(self._draft)
        template = templates(self._language).get_template("mailing/mailing.txt")
        text = template.render(around, body=plain_text(rendered))
        body = fill_html(rendered, gaps)
        page = inlined(
            templates(self._language, escaping=True).get_template("mailing/mailing.html").render(around, body=body)
        )
        return fill_text(text, values), fill_html(page, values | {"name": Slot.NAME_IN_HTML.gap})

    def frame(self, form: LetterFormat) -> LetterTemplate:
        """What all letters of a form have in common."""
        return self._frames[form]

    def _frame(self, text: str, html: str | None) -> LetterTemplate:
        headers = [
            *_head(self._desk, to=Slot.TO.gap, subject=self._draft.subject, message_id=Slot.MESSAGE_ID.gap),
            ("List-Unsubscribe", f"<{self._desk.unsubscribe_place}{Slot.UNSUBSCRIBE.gap}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-Id", f"<{self._draft.topic}.{self._desk.domain}>"),
        ]
        boundary = secrets.token_hex(12)
        return LetterTemplate.of(
            mime.message(headers, date=Slot.DATE.gap, boundary=boundary, text=text, html=html, slots=True)
        )

    def _known_frame(self, form: LetterFormat) -> KnownTemplate | None:
        # Looked at when the first letter is made: a frame that nobody gets need not be looked at.
        if form not in self._known:
            self._known[form] = get_to_know(self._frames[form], sender=self._sender, own=self._own)
        return self._known[form]


def preferences_letter(desk: LetterContext, person: Person, *, request: int, now: datetime) -> Letter:
    """The letter with a link to somebody's choices. It names nobody: whoever typed the address may not own it."""
    language = desk.language_of(person)
    subject = said(LINK_SUBJECT, language) % {"shop": desk.settings.shop_name}
    values = {
        "shop": desk.settings.shop_name,
        "postal": desk.settings.shop_postal,
        "preferences_link": desk.preferences_link(person.id, now, person.series),
        "days": PREFERENCES_DAYS,
        "subject": subject,
        "home": desk.settings.site_url,
    }
    return _letter(
        desk,
        Person(person.id, person.address, None),
        subject=subject,
        message_id=desk.message_id("link", request),
        headers=[("Auto-Submitted", "auto-replied")],
        text=templates(language).get_template("mailing/preferences_link.txt").render(values),
        html=inlined(templates(language, escaping=True).get_template("mailing/preferences_link.html").render(values)),
        now=now,
    )


def halted_letter(
    desk: LetterContext, owner: Person, *, slug: str, reason: str, left: int, waiting: int, request: int, now: datetime
) -> Letter:
    """The letter that tells the owner of a halt."""
    subject = f"{slug} has stopped"
    values = {
        "slug": slug,
        "reason": reason,
        "left": counted(left, "letter"),
        "waiting": waiting,
        "subject": subject,
        "shop": desk.settings.shop_name,
        "postal": None,
        "home": desk.settings.site_url,
    }
    return _letter(
        desk,
        owner,
        subject=subject,
        message_id=desk.message_id("halted", request),
        headers=[("Auto-Submitted", "auto-generated")],
        text=templates(ENGLISH).get_template("mailing/halted.txt").render(values),
        html=inlined(templates(ENGLISH, escaping=True).get_template("mailing/halted.html").render(values)),
        now=now,
    )


def single_letter(
    desk: LetterContext,
    person: Person,
    *,
    template: str,
    subject: str,
    message_id: str,
    headers: list[tuple[str, str]],
    values: dict[str, object],
    form: LetterFormat,
    now: datetime,
    language: str | None = None,
) -> Letter:
    """A letter made of a template of its own, in text and HTML (`mailing/TEMPLATE.…`), in its reader's language.

    Or in the one it is written in: the owner's are in English. Raises GateRefused.
    """
    settings, language = desk.settings, language or desk.language_of(person)
    frame = {"shop": settings.shop_name, "postal": settings.shop_postal, "home": settings.site_url, "subject": subject}
    html = inlined(templates(language, escaping=True).get_template(f"mailing/{template}.html").render(frame | values))
    return _letter(
        desk,
        person,
        subject=subject,
        message_id=message_id,
        headers=headers,
        text=templates(language).get_template(f"mailing/{template}.txt").render(frame | values),
        html=html if form is LetterFormat.HTML else None,
        now=now,
    )


def _letter(
    desk: LetterContext,
    person: Person,
    *,
    subject: str,
    message_id: str,
    headers: list[tuple[str, str]],
    text: str,
    html: str | None,
    now: datetime,
) -> Letter:
    settings = desk.settings
    sender = parseaddr(settings.mail_from)[1]
    to = mime.mailbox(person.name, person.address)
    head = [*_head(desk, to=to, subject=subject, message_id=message_id), *headers]
    boundary = secrets.token_hex(12)
    data = mime.message(head, date=_dated(now), boundary=boundary, text=text, html=html).encode()
    if desk.seal:
        data = desk.seal(data) + data
    return Letter(sender, person.address, message_id, data, settings.own_addresses)


def _head(desk: LetterContext, *, to: str, subject: str, message_id: str) -> list[tuple[str, str]]:
    shop_name, sender = parseaddr(desk.settings.mail_from)
    answer_name, answer_to = parseaddr(desk.settings.reply_to)
    return [
        ("From", mime.mailbox(shop_name, sender)),
        ("To", to),
        *([("Reply-To", mime.mailbox(answer_name, answer_to))] if answer_to != sender else []),
        ("Subject", mime.unstructured(subject)),
        ("Message-ID", message_id),
    ]


@lru_cache
def templates(language: str, *, escaping: bool = False) -> Environment:
    """The letters' templates in a language: as plain text, where escaping would be wrong, or as HTML."""
    found = Environment(
        loader=PackageLoader("feedback_app"),
        autoescape=escaping,  # noqa: S701 - see above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    found.policies["ext.i18n.trimmed"] = True
    found.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    found.globals["language"] = language
    return found
