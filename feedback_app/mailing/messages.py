"""What each kind of letter says: one function a kind, each making one `Letter`."""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr

from jinja2 import Environment, PackageLoader, StrictUndefined

from feedback_app.config import Settings
from feedback_app.customers.models import LetterFormat, Topic
from feedback_app.customers.services import Person
from feedback_app.mailing import mime
from feedback_app.mailing.dkim import sealer
from feedback_app.mailing.drafts import PLACEHOLDERS, Draft, draft_html, draft_text, fill_html, fill_text
from feedback_app.mailing.letter import Letter
from feedback_app.mailing.returns import ReturnAddresses
from feedback_app.mailing.styles import inlined
from feedback_app.tokens import Claim, Purpose, Signer

PREFERENCES_DAYS = 30
UNSUBSCRIBE_DAYS = 730
WHY = {
    Topic.SPECIALS: "you chose to hear about our offers",
    Topic.NEWS: "you chose to hear about new posts on our blog",
    Topic.REPLIES: "you chose to hear about answers to your comments",
}


@dataclass(frozen=True, slots=True)
class Desk:
    """What every letter is written with."""

    settings: Settings
    signer: Signer
    # Given a whole letter, what to put above it: its signatures.
    seal: Callable[[bytes], bytes] | None = None

    @classmethod
    def of(cls, settings: Settings, signer: Signer) -> "Desk":
        """The desk of a shop, with the keys that it signs with. Raises KeyProblem."""
        return cls(settings, signer, sealer(settings))

    @property
    def domain(self) -> str:
        """The shop's own domain, for identifiers."""
        return parseaddr(self.settings.mail_from)[1].rpartition("@")[2].lower()

    def preferences_link(self, person: int, now: datetime) -> str:
        """A link to a person's choices."""
        token = self.signer.sign(Claim(Purpose.PREFERENCES, person), now=now, days=PREFERENCES_DAYS)
        return f"{self.settings.site_url}/feedback/preferences/{token}"

    def unsubscribe_link(self, person: int, topic: Topic, now: datetime) -> str:
        """A link that ends one topic for one person."""
        token = self.signer.sign(Claim(Purpose.UNSUBSCRIBE, person, topic.code), now=now, days=UNSUBSCRIBE_DAYS)
        return f"{self.settings.site_url}/feedback/unsubscribe/{token}"

    def message_id(self, *about: object) -> str:
        """An identifier that is the same for the same letter, and tells nothing about it."""
        said = "/".join(str(piece) for piece in about)
        return f"<{hmac.digest(self.signer.identifier_key, said.encode(), 'sha256').hex()[:32]}@{self.domain}>"


class MailingMaker:
    """Makes the letters of one mailing: what is the same for all is rendered once."""

    def __init__(self, desk: Desk, draft: Draft, mailing_id: int | None) -> None:
        """Render a checked draft. Without a mailing the letters are samples."""
        self._desk = desk
        self._draft = draft
        self._mailing_id = mailing_id
        # All but what differs from reader to reader, for which stand-ins stay; styled once, for that is slow.
        gaps = {name: f"\ue000{name}\ue001" for name in PLACEHOLDERS}
        frame = {
            **gaps,
            "shop": desk.settings.shop_name,
            "postal": desk.settings.shop_postal,
            "why": WHY[draft.topic],
            "subject": draft.subject,
            "home": desk.settings.site_url,
        }
        self._text = _plain.get_template("mailing/mailing.txt").render(frame, body=draft_text(draft))
        page = _escaping.get_template("mailing/mailing.html").render(frame, body=fill_html(draft_html(draft), gaps))
        self._html = inlined(page)
        self._returns = ReturnAddresses(desk.signer, desk.settings.mail_from)

    def message_id(self, person: Person) -> str:
        """The identifier of a person's letter."""
        about = (self._mailing_id, person.id) if self._mailing_id else (secrets.token_hex(16),)
        return self._desk.message_id("mailing", *about)

    def letter(self, person: Person, form: LetterFormat, *, now: datetime) -> Letter:
        """The letter to one person. Raises GateRefused."""
        settings = self._desk.settings
        unsubscribe = self._desk.unsubscribe_link(person.id, self._draft.topic, now)
        values = {
            "name": person.name or self._draft.nameless,
            "shop": settings.shop_name,
            "preferences_link": self._desk.preferences_link(person.id, now),
            "unsubscribe_link": unsubscribe,
        }
        headers = [
            ("List-Unsubscribe", f"<{unsubscribe}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("List-Id", f"<{self._draft.topic}.{self._desk.domain}>"),
        ]
        return _letter(
            self._desk,
            person,
            subject=self._draft.subject,
            message_id=self.message_id(person),
            headers=headers,
            text=fill_text(self._text, values),
            html=fill_html(self._html, values) if form is LetterFormat.HTML else None,
            now=now,
            return_to=self._returns.address(self._mailing_id, person.id) if self._mailing_id else None,
        )


def preferences_letter(desk: Desk, person: Person, *, request: int, now: datetime) -> Letter:
    """The letter with a link to somebody's choices. It names nobody: whoever typed the address may not own it."""
    subject = f"Your link to {desk.settings.shop_name}"
    values = {
        "shop": desk.settings.shop_name,
        "postal": desk.settings.shop_postal,
        "preferences_link": desk.preferences_link(person.id, now),
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
        text=_plain.get_template("mailing/preferences_link.txt").render(values),
        html=inlined(_escaping.get_template("mailing/preferences_link.html").render(values)),
        now=now,
    )


def halted_letter(
    desk: Desk, owner: Person, *, slug: str, reason: str, left: int, waiting: int, request: int, now: datetime
) -> Letter:
    """The letter that tells the owner of a halt."""
    subject = f"{slug} has stopped"
    values = {
        "slug": slug,
        "reason": reason,
        "left": _letters(left),
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
        text=_plain.get_template("mailing/halted.txt").render(values),
        html=inlined(_escaping.get_template("mailing/halted.html").render(values)),
        now=now,
    )


def single_letter(
    desk: Desk,
    person: Person,
    *,
    template: str,
    subject: str,
    message_id: str,
    headers: list[tuple[str, str]],
    values: dict[str, object],
    form: LetterFormat,
    now: datetime,
) -> Letter:
    """A letter made of a template of its own, in text and HTML (`mailing/TEMPLATE.…`). Raises GateRefused."""
    settings = desk.settings
    frame = {"shop": settings.shop_name, "postal": settings.shop_postal, "home": settings.site_url, "subject": subject}
    html = inlined(_escaping.get_template(f"mailing/{template}.html").render(frame | values))
    return _letter(
        desk,
        person,
        subject=subject,
        message_id=message_id,
        headers=headers,
        text=_plain.get_template(f"mailing/{template}.txt").render(frame | values),
        html=html if form is LetterFormat.HTML else None,
        now=now,
    )


def _letters(count: int) -> str:
    return f"{count} letter" if count == 1 else f"{count} letters"


def _letter(
    desk: Desk,
    person: Person,
    *,
    subject: str,
    message_id: str,
    headers: list[tuple[str, str]],
    text: str,
    html: str | None,
    now: datetime,
    return_to: str | None = None,
) -> Letter:
    settings = desk.settings
    shop_name, sender = parseaddr(settings.mail_from)
    answer_name, answer_to = parseaddr(settings.reply_to)
    head = [
        ("From", mime.mailbox(shop_name, sender)),
        ("To", mime.mailbox(person.name, person.address)),
        *([("Reply-To", mime.mailbox(answer_name, answer_to))] if answer_to != sender else []),
        ("Subject", mime.unstructured(subject)),
        ("Message-ID", message_id),
        *headers,
    ]
    data = mime.message(head, date=now, boundary=secrets.token_hex(12), text=text, html=html)
    if desk.seal:
        data = desk.seal(data) + data
    return Letter(return_to or sender, person.address, message_id, data, settings.own_addresses, author=sender)


_plain = Environment(
    loader=PackageLoader("feedback_app"),
    autoescape=False,  # noqa: S701 - plain text, where escaping would be wrong
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_escaping = _plain.overlay(autoescape=True)
