"""What a reader would stumble over, found before publishing: one line each, with file and line. Never a name masked."""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

from feedback_app.images.picture_html import picture_file
from feedback_app.publishing.content.new_post import KINDS, PostStatus, status_of
from feedback_app.publishing.masking import NAME, masked_name

FIRST_YEAR = 1990
FAR = timedelta(days=2 * 366)
_FENCE = re.compile(r"\s{0,3}(```+|~~~+)")
_CODE = re.compile(r"(`+).+?\1")
_PICTURE = re.compile(r"!\[([^\]]*)\]\(\s*<?([^)\s>]*)")
_IMG = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(\s*<?([^)\s>]*)[^)]*\)|\bhref=\"([^\"]*)\"")
_FILE_LINK = re.compile(r"[{|](?:filename|static|attach)[}|]([^#?]+)")
_OPEN_LINK = re.compile(r"\]\([^)]*$")
_BLOCK = re.compile(r"<(/?)(blockquote|div|section|aside|figure|details|table|ul|ol)\b[^>]*>", re.IGNORECASE)
_ID = re.compile(r'\bid="([^"]+)"')


@dataclass(slots=True)
class _Text:
    """A post's or a page's file: its head by name with line numbers, and the lines of its text outside examples."""

    path: Path
    head: dict[str, tuple[int, str]] = field(default_factory=dict)
    lines: list[tuple[int, str]] = field(default_factory=list)
    unclosed: int | None = None

    @property
    def masked(self) -> set[str]:
        """The names that are masked somewhere in it."""
        whole = "\n".join(line for _, line in self.lines)
        return {" ".join(name.split()) for name in NAME.findall(whole) if masked_name(name) and " " in name.strip()}


def check_files(files: Iterable[Path], content: Path, output: Path, *, now: datetime) -> list[str]:
    """Check these files against the site as it is built. Changes nothing."""
    found: list[str] = []
    for path in files:
        if path.suffix.lower() in KINDS:
            try:
                text = _read(path)
            except (OSError, UnicodeDecodeError):
                # The build says what is wrong with it.
                continue
            found += [f"{path}:{number}: {words}" for number, words in sorted(_check(text, content, output, now))]
    return found


def _check(text: _Text, content: Path, output: Path, now: datetime) -> Iterator[tuple[int, str]]:
    yield from _dates(text, now)
    yield from _balance(text)
    yield from _names(text)
    own = _own_page(text, output)
    for number, line in text.lines:
        if "![" in line or "<" in line:
            yield from ((number, words) for words in _pictures(line, text.path, content))
        for link in _LINK.findall(line) if "](" in line or 'href="' in line.lower() else ():
            target = html.unescape(link[0] or link[1])
            if words := _missing(target, text.path, content, now) or _dead(target, own, output):
                yield number, words


def _pictures(line: str, source: Path, content: Path) -> Iterator[str]:
    shown = [(alt, link) for alt, link in _PICTURE.findall(line)]
    for tag in _IMG.findall(line):
        alt, link = re.search(r'\balt="([^"]*)"', tag), re.search(r'\bsrc="([^"]*)"', tag)
        shown.append((alt[1] if alt else "", link[1] if link else ""))
    for alt, link in shown:
        if not alt.strip():
            yield f"the picture {link} has no text for those who can't see it: ![what it shows]({link})"
        if "://" not in link and picture_file(link, source, content) is None:
            yield f"the picture {link} is not there"


def _missing(link: str, source: Path, content: Path, now: datetime) -> str | None:
    """What is wrong with a link to a file of the content, or None."""
    found = _FILE_LINK.match(link)
    if found is None:
        return None
    path = unquote(found[1])
    file = content / path.lstrip("/") if path.startswith("/") else source.parent / path
    if not file.exists():
        return f"the link to {link} leads nowhere: there is no such file"
    if _is_private(file, now) and not _is_private(source, now):
        return f"the link to {link} shows everybody the private link of what is not published"
    return None


def _is_private(file: Path, now: datetime) -> bool:
    """Whether a file is a post that only those see who have its link."""
    return file.suffix.lower() in KINDS and status_of(file, now=now) is not PostStatus.PUBLISHED


def _dead(link: str, own: Path | None, output: Path) -> str | None:
    """What is wrong with a link within the site, or None."""
    target, _, anchor = link.partition("#")
    if target.startswith(("//", "/feedback/")) or (target and not target.startswith("/")):
        return None
    page = own
    if target:
        path = unquote(target.partition("?")[0]).lstrip("/")
        page = output / (f"{path}index.html" if not path or path.endswith("/") else path)
        page = page / "index.html" if page.is_dir() else page
        if not page.is_file():
            return f"the link to {target} leads nowhere: there is no such page on the site"
    if (
        anchor
        and page
        and page.suffix == ".html"
        and page.is_file()
        and unquote(anchor) not in _anchors(page, page.stat().st_mtime_ns)
    ):
        return f"the link to {link} leads to the page, but there is no #{anchor} on it"
    return None


@lru_cache(maxsize=512)
def _anchors(page: Path, _changed: int) -> frozenset[str]:
    return frozenset(html.unescape(anchor) for anchor in _ID.findall(page.read_text(encoding="utf-8")))


def _own_page(text: _Text, output: Path) -> Path | None:
    _, slug = text.head.get("slug", (0, ""))
    date = _date(text.head.get("date", (0, ""))[1])
    return output / (f"{date:%Y/%m}/{slug}.html" if date else f"{slug}.html") if slug else None


def _dates(text: _Text, now: datetime) -> Iterator[tuple[int, str]]:
    number, said = text.head.get("date", (0, ""))
    date = _date(said)
    if date is None:
        return
    if date.year < FIRST_YEAR:
        yield number, f"the date is in the year {date.year}: is that meant?"
    elif date.replace(tzinfo=date.tzinfo or now.tzinfo) > now + FAR:
        yield number, "the date is more than two years from now: is that meant?"
    number, said = text.head.get("modified", (0, ""))
    modified = _date(said)
    if modified and modified.replace(tzinfo=None) < date.replace(tzinfo=None):
        yield number, "the post was changed before it was written: look at Date and Modified"


def _date(said: str) -> datetime | None:
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        return None


def _balance(text: _Text) -> Iterator[tuple[int, str]]:
    if text.unclosed:
        yield text.unclosed, "an example begins here and does not end: close it with the same signs"
    # What a program would say in them is no Markdown.
    lines = [
        (number, _CODE.sub("", line) if "`" in line else line)
        for number, line in text.lines
        if not line.startswith(("    ", "\t"))
    ]
    yield from _emphasis(lines)
    yield from _blocks(lines)
    left = NAME.sub(lambda name: "\n" * name[0].count("\n"), "\n".join(line for _, line in lines)).split("\n")
    for (number, _), line in zip(lines, left, strict=True):
        if "[[" in line:
            yield number, "a [[ begins here and does not end: what is in it would be shown"
        if _OPEN_LINK.search(line):
            yield number, "a link begins here and does not end: [words](/where.html)"


def _emphasis(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    begun: int | None = None
    for number, line in [*lines, (0, "")]:
        if not line.strip():
            if begun:
                yield begun, "a ** begins here and does not end before the paragraph does"
            begun = None
        elif line.count("**") % 2:
            begun = None if begun else number


def _blocks(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    begun: list[tuple[str, int]] = []
    for number, line in lines:
        for closing, kind in _BLOCK.findall(line):
            if not closing:
                begun.append((kind.lower(), number))
            elif begun and begun[-1][0] == kind.lower():
                begun.pop()
            else:
                yield number, f"</{kind.lower()}> closes something that is not open"
    for kind, number in begun:
        yield number, f"<{kind}> begins here and does not end"


def _names(text: _Text) -> Iterator[tuple[int, str]]:
    for name in text.masked:
        anywhere = re.compile(r"\b" + r"\s+".join(map(re.escape, name.split())) + r"\b")
        for number, line in [*text.head.values(), *text.lines]:
            if anywhere.search(NAME.sub("", line)):
                yield number, "a name that is masked elsewhere in this file stands here in full: [[First Last]]"


def _read(path: Path) -> _Text:
    text = _Text(path)
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    in_head, fence = True, ""
    for number, line in enumerate(lines, 1):
        head = re.match(r"([\w-]+)[ \t]*:[ \t]*(.*)", line) if in_head else None
        if head:
            text.head.setdefault(head[1].lower(), (number, head[2].strip()))
            continue
        in_head = in_head and line.startswith(" ") and bool(line.strip())
        if in_head:
            continue
        found = _FENCE.match(line)
        if found and not fence:
            fence, text.unclosed = found[1], number
        elif found and fence and found[1].startswith(fence):
            fence, text.unclosed = "", None
        elif not fence:
            text.lines.append((number, line))
    return text
