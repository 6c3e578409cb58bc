"""What every letter is written with: the shop's settings, its keys, the links and headers made from them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from functools import lru_cache
from hashlib import blake2b

from feedback_app.config import Settings
from feedback_app.customers.services import Person
from feedback_app.customers.topics import Topic
from feedback_app.mailing.letters import mime
from feedback_app.mailing.letters.dkim import make_dkim_signer
from feedback_app.security.link_lifetimes import sign_link
from feedback_app.security.tokens import Claim, Purpose, Signer


@dataclass(frozen=True, slots=True)
class LetterContext:
    """The settings and keys that letters are made with."""

    settings: Settings
    signer: Signer
    # Returns the DKIM signatures to put above a whole letter; None if the shop does not sign.
    dkim_sign: Callable[[bytes], bytes] | None = None

    @classmethod
    def of(cls, settings: Settings, signer: Signer) -> "LetterContext":
        """Return a shop's context, with its DKIM keys. Raises KeyProblem."""
        return cls(settings, signer, make_dkim_signer(settings))

    @property
    def domain(self) -> str:
        """The shop's own domain, for identifiers."""
        return _domain_of(self.settings.mail_from)

    @property
    def sender(self) -> str:
        """The address in the shop's From."""
        return parseaddr(self.settings.mail_from)[1]

    def language_of(self, person: Person | None) -> str:
        """Return the language of a person's letters: their choice, if the shop still has it, or the shop's own."""
        languages = self.settings.languages
        return person.language if person is not None and person.language in languages else languages[0]

    @property
    def preferences_url(self) -> str:
        """The links to preferences without their token."""
        return f"{self.settings.site_url}/feedback/preferences/"

    @property
    def unsubscribe_url(self) -> str:
        """The links that end a topic without their token."""
        return f"{self.settings.site_url}/feedback/unsubscribe/"

    def preferences_token(self, person: int, now: datetime, series: int = 0) -> str:
        """Return the token that opens a person's preferences. `series` is the number of their series of links."""
        return sign_link(self.signer, Claim(Purpose.PREFERENCES, person, series), now=now)

    def preferences_link(self, person: int, now: datetime, series: int = 0) -> str:
        """Return the link to a person's preferences."""
        return self.preferences_url + self.preferences_token(person, now, series)

    def unsubscribe_token(self, person: int, topic: Topic, now: datetime) -> str:
        """Return the token that ends one topic for one person."""
        return sign_link(self.signer, Claim(Purpose.UNSUBSCRIBE, person, topic.info.code), now=now)

    def unsubscribe_link(self, person: int, topic: Topic, now: datetime) -> str:
        """Return the link that ends one topic for one person."""
        return self.unsubscribe_url + self.unsubscribe_token(person, topic, now)

    def message_id(self, *about: object) -> str:
        """Return a Message-ID that is the same for the same letter and tells nothing about it."""
        return self._keyed_id("/".join(map(str, about)))

    def mailing_message_id(self, mailing: int, customer: int) -> str:
        """Return the Message-ID of one customer's letter; the ledger knows it before the letter is made."""
        return self._keyed_id(f"mailing/{mailing}/{customer}")

    def headers(self, *, to: str, subject: str, message_id: str) -> list[tuple[str, str]]:
        """Return the headers that every letter has, except those that `mime.message` adds."""
        shop_name, sender = parseaddr(self.settings.mail_from)
        reply_name, reply_to = parseaddr(self.settings.reply_to)
        return [
            ("From", mime.mailbox(shop_name, sender)),
            ("To", to),
            *([("Reply-To", mime.mailbox(reply_name, reply_to))] if reply_to != sender else []),
            ("Subject", mime.unstructured(subject)),
            ("Message-ID", message_id),
        ]

    def signed(self, data: bytes) -> bytes:
        """Return a letter's bytes with its DKIM signatures above them, if the shop signs."""
        return self.dkim_sign(data) + data if self.dkim_sign else data

    def _keyed_id(self, text: str) -> str:
        key = self.signer.identifier_key
        return f"<{blake2b(text.encode(), key=key, digest_size=16).hexdigest()}@{self.domain}>"


# Every letter of a mailing asks for it.
@lru_cache(maxsize=16)
def _domain_of(mail_from: str) -> str:
    return parseaddr(mail_from)[1].rpartition("@")[2].lower()
