"""Reads a letter back as a mail program does, for showing it."""

from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass(frozen=True, slots=True)
class ParsedLetter:
    """A letter as a mail program shows it."""

    name: str
    subject: str
    to: str
    date: str
    headers: list[tuple[str, str]]
    text: str
    html: str | None


def parse_letter(data: bytes, name: str = "") -> ParsedLetter:
    """Return a letter's bytes as a mail program shows them. `name` is its file's."""
    message = message_from_bytes(data, policy=policy.default)
    return ParsedLetter(
        name=name,
        subject=str(message["Subject"]),
        to=str(message["To"]),
        date=str(message["Date"]),
        headers=[(header, str(value)) for header, value in message.items()],
        text=_part(message, "plain") or "",
        html=_part(message, "html"),
    )


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return part.get_content() if part else None
