"""Mailing files: a head, and a text in Markdown with a few named placeholders. A text is data, not a program."""

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import markdown
import nh3

from feedback_app.config import Settings
from feedback_app.customers.topics import Topic
from feedback_app.mailing.text import link_checks
from feedback_app.mailing.text.from_html import plain_text
from feedback_app.patterns.address_patterns import address_shaped

HEAD = ("subject", "topic", "slug", "nameless")
PLACEHOLDERS = ("name", "shop", "preferences_link", "unsubscribe_link")
LINKS = ("preferences_link", "unsubscribe_link")
NAMELESS = "friend"
LONGEST_SUBJECT = 200
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
# Stand-ins for placeholders, of characters that Markdown leaves alone and no keyboard types.
_STAND_IN = re.compile("\ue000(\\w+)\ue001")
TAGS = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "hr", "img", "li", "ol", "p", "pre", "strong", "table",
    "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "width", "height"}}


class SourceRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A mailing file can't be sent as it is; one line, with file and line number, that says why."""


@dataclass(frozen=True, slots=True)
class MailingSource:
    """The text of a mailing, with its head, before any letter is made of it."""

    slug: str
    topic: Topic
    subject: str
    nameless: str
    body: str


def read_source(path: Path, settings: Settings) -> MailingSource:
    """Read a mailing file and check all that can be checked without a network. Raises SourceRefused."""
    try:
        text = path.read_text(encoding="utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        message = f"{path}: {error.strerror}"
        raise SourceRefused(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: this is not UTF-8: save the file again as UTF-8"
        raise SourceRefused(message) from error
    head, body, first = _split(path, text)
    for name in ("subject", "topic", "slug"):
        if not head.get(name):
            message = f"{path}: the head has no `{name.capitalize()}:`"
            raise SourceRefused(message)
    if head["topic"] not in set(Topic):
        message = f"{path}: Topic is one of {', '.join(Topic)}"
        raise SourceRefused(message)
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,99}", head["slug"]):
        message = f"{path}: Slug is made of small letters, digits and hyphens"
        raise SourceRefused(message)
    source = MailingSource(
        slug=head["slug"],
        topic=Topic(head["topic"]),
        subject=head["subject"],
        nameless=head.get("nameless") or NAMELESS,
        body=body,
    )
    _check(path, source, first, settings)
    return source


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
            raise SourceRefused(message)
        name = name.strip().lower()
        if name in head:
            message = f"{path}:{number}: there are two lines `{name.capitalize()}:` in the head"
            raise SourceRefused(message)
        head[name] = value.strip()
    return head, "", len(lines)


def _check(path: Path, source: MailingSource, first: int, settings: Settings) -> None:
    if not source.body.strip():
        message = f"{path}: there is no text below the head"
        raise SourceRefused(message)
    if "{" in source.subject or len(source.subject) > LONGEST_SUBJECT or not source.subject.isprintable():
        message = f"{path}: Subject is one line of at most {LONGEST_SUBJECT} letters without placeholders"
        raise SourceRefused(message)
    if not source.nameless.isprintable():
        message = f"{path}: Nameless has invisible characters in it"
        raise SourceRefused(message)
    if "{" in source.nameless or "}" in source.nameless:
        message = f"{path}: Nameless takes no placeholder: write a word for who has given no name, such as `{NAMELESS}`"
        raise SourceRefused(message)
    # Addresses come first: a later refusal may quote the line, and no address may be quoted.
    own = settings.own_addresses
    for number, line in enumerate([source.subject, source.nameless, *source.body.split("\n")], first - 2):
        if address_shaped(line, own):
            where = f"{path}:{number}" if number >= first else str(path)
            message = f"{where}: there is an address here that is not the shop's own; a letter shows no others"
            raise SourceRefused(message)
    lines = zip(source.body.split("\n"), link_checks.without_code(source.body).split("\n"), strict=True)
    for line_number, (line, line_without_code) in enumerate(lines, first):
        _check_line(f"{path}:{line_number}", line, line_without_code)
    _check_ends(path, source, first, _check_shown(path, source, own))


def _check_shown(path: Path, source: MailingSource, own: Collection[str]) -> str:
    """Check the text as Markdown renders it, and return the HTML: rendering can join what no single line contains."""
    try:
        html = source_html(source)
    except RecursionError as error:
        message = f"{path}: lists and quotes stand too deep in others here: write them less deep"
        raise SourceRefused(message) from error
    # An entity can produce a character that may not be typed. The stand-ins of placeholders are ours.
    if _invisible(re.sub(f"\ue000(?:{'|'.join(PLACEHOLDERS)})\ue001|\n", "", html)):
        message = f"{path}: an entity (such as &#1;) shows an invisible character here that letters don't take"
        raise SourceRefused(message)
    if address_shaped(html, own) or address_shaped(plain_text(html), own):
        message = f"{path}: this shows an address that is not the shop's own; a letter shows no others"
        raise SourceRefused(message)
    for name, value in re.findall(r'([\w-]+)="([^"]*)"', html):
        placeholders = _STAND_IN.findall(value)
        is_link = _STAND_IN.fullmatch(value) and placeholders[0] in LINKS
        if name in {"href", "src"} and placeholders and not (name == "href" and is_link):
            message = f"{path}: a link or an image can be {_known(LINKS)} as a whole, and has no other placeholder"
            raise SourceRefused(message)
        if name in {"title", "alt"} and set(placeholders) & set(LINKS):
            message = f"{path}: the title of a link or an image has no link in it"
            raise SourceRefused(message)
        if name in {"href", "src"} and not placeholders and not link_checks.is_web_link(value):
            message = f"{path}: a link is broken: a link starts with https:// (or http://) and a host"
            raise SourceRefused(message)
    # The sanitizer drops a link whose scheme letters don't take; the shop's own address may remain as text.
    if re.search(r"<a(?![^>]* href=)[^>]*>[^<@]*</a>", html.replace("<a>", "<a >")):
        message = f"{path}: a link is broken: a link starts with https:// (or http://) and a host"
        raise SourceRefused(message)
    return html


def _check_ends(path: Path, source: MailingSource, first: int, html: str) -> None:
    """Check for links that Markdown did not recognize, and for placeholder links that run on into other words."""
    found = link_checks.find_broken_link(html)
    if found:
        # Or the brackets are escaped: then they look the same in the HTML.
        html_of_meant = source_html(replace(source, body=link_checks.without_literal_signs(source.body)))
        found = link_checks.find_broken_link(_STAND_IN.sub(r"{{ \1 }}", html_of_meant))
    if found:
        words, reference = found
        where = _where(path, source, first, re.escape(f"[{words}"))
        why = "it is not closed" if reference is None else f"there is no line `[{reference[:40]}]: https://…` for it"
        message = f"{where}: the link of “{words[:40]}” is broken: {why}; brackets that are no link are written \\["
        raise SourceRefused(message)
    name = link_checks.find_link_that_runs_on(plain_text(html))
    if name:
        where = _where(path, source, first, rf"\{{\{{\s*{name}\s*\}}\}}[^\s)]")
        message = f"{where}: the link {_known([name])} is broken by what follows it: leave a blank there"
        raise SourceRefused(message)


def _where(path: Path, source: MailingSource, first: int, pattern: str) -> str:
    """Return the file, with the number of the first line that matches the pattern, if there is one."""
    numbers = (number for number, line in enumerate(source.body.split("\n"), first) if re.search(pattern, line))
    number = next(numbers, None)
    return f"{path}:{number}" if number else str(path)


def _known(names: Iterable[str]) -> str:
    return ", ".join(f"{{{{ {name} }}}}" for name in names)


def _check_line(where: str, line: str, line_without_code: str) -> None:
    for name in _PLACEHOLDER.findall(line):
        if name not in PLACEHOLDERS:
            message = f"{where}: there is no placeholder {{{{ {name[:40]} }}}}; there are {_known(PLACEHOLDERS)}"
            raise SourceRefused(message)
    rest = _PLACEHOLDER.sub("", line)
    if "{{" in rest or "}}" in rest or "{%" in rest:
        message = f"{where}: a placeholder is written {{{{ name }}}}, with two braces on each side"
        raise SourceRefused(message)
    if _invisible(line):
        message = f"{where}: there is an invisible character here that letters don't take"
        raise SourceRefused(message)
    for words, link in link_checks.links_in(line_without_code):
        if not _PLACEHOLDER.fullmatch(link) and not link.startswith("{{") and not link_checks.is_web_link(link):
            message = f"{where}: the link of “{words[:40]}” is broken: it starts with https:// (or http://) and a host"
            raise SourceRefused(message)


def _invisible(text: str) -> bool:
    # Control characters, surrogates, and Unicode's private use, to which the stand-ins belong.
    return any(unicodedata.category(character) in {"Cc", "Co", "Cs"} for character in text.replace("\t", " "))


def source_html(source: MailingSource) -> str:
    """Return the text as sanitized HTML, with stand-ins for the placeholders."""
    marked = _PLACEHOLDER.sub(lambda match: f"\ue000{match.group(1)}\ue001", source.body)
    rough = markdown.markdown(marked, extensions=["tables", "sane_lists", "smarty"], output_format="html")
    # The sanitizer percent-encodes stand-ins in links: they are put back below.
    clean = nh3.clean(
        rough,
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https"},
        link_rel=None,
        url_relative="pass_through",
    )
    return clean.replace("%EE%80%80", "\ue000").replace("%EE%80%81", "\ue001")


def fill_text(text: str, values: dict[str, str]) -> str:
    """Replace the stand-ins by their values."""
    return _STAND_IN.sub(lambda match: values[match.group(1)], text)


def fill_html(html: str, values: dict[str, str]) -> str:
    """Replace the stand-ins by their values, escaped; a link that is not in an attribute becomes an `<a>`."""

    def inside(link: re.Match[str]) -> str:
        return _STAND_IN.sub(lambda match: escape(values[match.group(1)]), link.group())

    html = re.sub('="\ue000(\\w+)\ue001"', lambda match: f'="{escape(values[match.group(1)])}"', html)
    # Within a link, another one would be nested.
    html = re.sub(r"<a .*?</a>", inside, html, flags=re.DOTALL)

    def one(match: re.Match[str]) -> str:
        value = escape(values[match.group(1)])
        return f'<a href="{value}">{value}</a>' if match.group(1) in LINKS else value

    return _STAND_IN.sub(one, html)
