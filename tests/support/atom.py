"""An independent look at feeds: the standard's own schema, and what it says besides in words."""

from datetime import datetime
from pathlib import Path
from typing import Any

from lxml import etree

ATOM = "{http://www.w3.org/2005/Atom}"
THREADING = "{http://purl.org/syndication/thread/1.0}"
SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("atom.rng")))


def atom_problems(xml: bytes) -> list[str]:
    """What is wrong with a feed by RFC 4287 and RFC 4685; nothing for a good one."""
    root = etree.fromstring(xml)
    if not SCHEMA.validate(root):
        return [str(SCHEMA.error_log)]
    problems: list[str] = []
    for element in (root, *root.iterfind(f"{ATOM}entry")):
        problems += _of_one(element)
    entries = list(root.iterfind(f"{ATOM}entry"))
    # 4.1.1: an author in the feed, or in every entry.
    if root.find(f"{ATOM}author") is None and any(entry.find(f"{ATOM}author") is None for entry in entries):
        problems.append("an entry without an author in a feed without one")
    ids = [entry.findtext(f"{ATOM}id") for entry in entries]
    problems += [f"twice: {one}" for one in set(ids) if ids.count(one) > 1]
    newest = max((_moment(entry) for entry in entries), default=None)
    if newest and _moment(root) < newest:
        problems.append("the feed is older than an entry in it")
    return problems


def _of_one(element: Any) -> list[str]:  # noqa: ANN401 - lxml ships no types
    problems = []
    name = element.findtext(f"{ATOM}id")
    # 4.2.6: an id is an IRI and never changes; RFC 4151: ours are tags.
    if not (name or "").startswith("tag:") and element.tag.endswith("}entry"):
        problems.append(f"{name}: not a tag")
    links = [link.get("href") for link in element.iterfind(f"{ATOM}link")]
    links += [answered.get("href") for answered in element.iterfind(f"{THREADING}in-reply-to")]
    problems += [f"{link}: not whole" for link in links if not str(link).startswith(("http://", "https://"))]
    # RFC 4685, 3: `ref` is the id of what is answered.
    for answered in element.iterfind(f"{THREADING}in-reply-to"):
        if not str(answered.get("ref")).startswith("tag:"):
            problems.append(f"{answered.get('ref')}: not the id of an entry")
    content = element.find(f"{ATOM}content")
    alternates = [link for link in element.iterfind(f"{ATOM}link") if link.get("rel", "alternate") == "alternate"]
    # 4.1.2: without content, an entry has an alternate.
    if element.tag.endswith("}entry") and content is None and not alternates:
        problems.append(f"{name}: neither content nor a link")
    return problems


def _moment(element: Any) -> datetime:  # noqa: ANN401 - lxml ships no types
    return datetime.fromisoformat(element.findtext(f"{ATOM}updated"))
