"""Mailing files: a head, a text in Markdown, and a short named list of placeholders. A text is data, not a program."""

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import markdown
import nh3

from feedback_app.config import Settings
from feedback_app.customers.models import Topic
from feedback_app.mailing.gate import address_shaped

HEAD = ("subject", "topic", "slug", "nameless")
PLACEHOLDERS = ("name", "shop", "preferences_link", "unsubscribe_link")
LINKS = ("preferences_link", "unsubscribe_link")
NAMELESS = "friend"
LONGEST_SUBJECT = 200
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
# Stand-ins that Markdown leaves alone and no keyboard types.
_STAND_IN = re.compile("\ue000(\\w+)\ue001")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*)[^)]*\)")
TAGS = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "hr", "img", "li", "ol", "p", "pre", "strong", "table",
    "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "width", "height"}}


class DraftRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A mailing's file can't be sent as it is; one line with file and line that says why."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a mailing says, before it is said to anybody."""

    slug: str
    topic: Topic
    subject: str
    nameless: str
    body: str


def read_draft(path: Path, settings: Settings) -> Draft:
    """Read a mailing's file and check everything that can be checked without a network. Raises DraftRefused."""
    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise DraftRefused(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: this is not UTF-8: save the file again as UTF-8"
        raise DraftRefused(message) from error
    head, body, first = _split(path, text)
    for name in ("subject", "topic", "slug"):
        if not head.get(name):
            message = f"{path}: the head has no `{name.capitalize()}:`"
            raise DraftRefused(message)
    if head["topic"] not in set(Topic):
        message = f"{path}: Topic is one of {', '.join(Topic)}"
        raise DraftRefused(message)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,99}", head["slug"]):
        message = f"{path}: Slug is made of small letters, digits and hyphens"
        raise DraftRefused(message)
    draft = Draft(
        slug=head["slug"],
        topic=Topic(head["topic"]),
        subject=head["subject"],
        nameless=head.get("nameless") or NAMELESS,
        body=body,
    )
    _check(path, draft, first, settings)
    return draft


def _split(path: Path, text: str) -> tuple[dict[str, str], str, int]:
    head: dict[str, str] = {}
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            return head, "\n".join(lines[number:]).strip("\n") + "\n", number + 1
        name, colon, value = line.partition(":")
        if not colon or name.strip().lower() not in HEAD:
            known = ", ".join(known.capitalize() for known in HEAD)
            message = f"{path}:{number}: the head has lines like `Subject: …` ({known}) and ends with an empty line"
            raise DraftRefused(message)
        head[name.strip().lower()] = value.strip()
    return head, "", len(lines)


def _check(path: Path, draft: Draft, first: int, settings: Settings) -> None:
    if not draft.body.strip():
        message = f"{path}: there is no text below the head"
        raise DraftRefused(message)
    if "{" in draft.subject or len(draft.subject) > LONGEST_SUBJECT or not draft.subject.isprintable():
        message = f"{path}: Subject is one line of at most {LONGEST_SUBJECT} letters without placeholders"
        raise DraftRefused(message)
    if not draft.nameless.isprintable():
        message = f"{path}: Nameless has invisible characters in it"
        raise DraftRefused(message)
    for line_number, line in enumerate(draft.body.split("\n"), first):
        _check_line(f"{path}:{line_number}", line)
    own = settings.own_addresses
    for number, line in enumerate([draft.subject, draft.nameless, *draft.body.split("\n")], first - 2):
        if address_shaped(line, own):
            where = f"{path}:{number}" if number >= first else str(path)
            message = f"{where}: there is an address here that is not the shop's own; a letter shows no others"
            raise DraftRefused(message)
    for link in re.findall(r'(?:href|src)="([^"]*)"', draft_html(draft)):
        if not _STAND_IN.fullmatch(link) and not _good_link(link):
            message = f"{path}: a link is broken: a link starts with https:// (or http://) and a host"
            raise DraftRefused(message)


def _check_line(where: str, line: str) -> None:
    for name in _PLACEHOLDER.findall(line):
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{{ {known} }}}}" for known in PLACEHOLDERS)
            message = f"{where}: there is no placeholder {{{{ {name[:40]} }}}}; there are {known}"
            raise DraftRefused(message)
    rest = _PLACEHOLDER.sub("", line)
    if "{{" in rest or "}}" in rest or "{%" in rest:
        message = f"{where}: a placeholder is written {{{{ name }}}}, with two braces on each side"
        raise DraftRefused(message)
    if "\ue000" in line or "\ue001" in line:
        message = f"{where}: there is an invisible character here that letters don't take"
        raise DraftRefused(message)
    for words, link in _LINK.findall(line):
        if not _PLACEHOLDER.fullmatch(link) and not link.startswith("{{") and not _good_link(link):
            message = f"{where}: the link of “{words[:40]}” is broken: it starts with https:// (or http://) and a host"
            raise DraftRefused(message)


def _good_link(link: str) -> bool:
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def draft_html(draft: Draft) -> str:
    """The text as HTML, cleaned, with stand-ins where the placeholders were."""
    marked = _PLACEHOLDER.sub(lambda match: f"\ue000{match.group(1)}\ue001", draft.body)
    rough = markdown.markdown(marked, extensions=["tables", "sane_lists", "smarty"], output_format="html")
    # Markdown percent-encodes nothing, but the cleaner does: stand-ins in links are put back.
    clean = nh3.clean(
        rough,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https"},
        link_rel=None,
        url_relative="pass_through",
    )
    return clean.replace("%EE%80%80", "\ue000").replace("%EE%80%81", "\ue001")


def draft_text(draft: Draft) -> str:
    """The text as a person reads it in a plain mail program, with stand-ins where the placeholders were."""
    marked = _PLACEHOLDER.sub(lambda match: f"\ue000{match.group(1)}\ue001", draft.body)
    plain = _LINK.sub(lambda match: f"{match.group(1)} ({match.group(2)})", marked)
    plain = re.sub(r"<(https?://[^>\s]+)>", r"\1", plain)
    plain = re.sub(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1", r"\2", plain)
    return "\n".join(line.rstrip() for line in plain.split("\n"))


def fill_text(text: str, values: dict[str, str]) -> str:
    """Put the values where their stand-ins are."""
    return _STAND_IN.sub(lambda match: values[match.group(1)], text)


def fill_html(html: str, values: dict[str, str]) -> str:
    """Put the values, escaped, where their stand-ins are; a link that stands by itself can be followed."""
    html = re.sub('="\ue000(\\w+)\ue001"', lambda match: f'="{escape(values[match.group(1)])}"', html)

    def one(match: re.Match[str]) -> str:
        value = escape(values[match.group(1)])
        return f'<a href="{value}">{value}</a>' if match.group(1) in LINKS else value

    return _STAND_IN.sub(one, html)
