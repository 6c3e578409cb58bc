"""Reading XML from elsewhere: a piece at a time, without entities, without a document type, without the network."""

from collections.abc import Collection, Iterator
from typing import IO, Any

from lxml import etree

from feedback_app.moving.formats.records import UnreadableExport

# An element as lxml makes it; lxml ships no types.
Element = Any


def pieces(file: IO[bytes], name: str, wanted: Collection[str]) -> Iterator[Element]:
    """Every element with one of these names that is in no other such, whole, and forgotten when the next is asked for.

    The first is the root itself, at its beginning. Raises Unreadable: not well-formed, or with a document type, which
    no export has and which is how a small file becomes a large one.
    """
    try:
        # An element is freed after it was looked at: what came before it in the file is gone from memory.
        parser = etree.iterparse(
            file,
            events=("start", "end"),
            resolve_entities=False,
            load_dtd=False,
            no_network=True,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        root = inside = None
        for event, element in parser:
            if root is None:
                root = element
                if root.getroottree().docinfo.internalDTD is not None:
                    message = f"{name}: it has a document type of its own, which no export has: it is not read"
                    raise UnreadableExport(message)
                yield root
            elif event == "start" and inside is None and element.tag in wanted:
                inside = element
            elif event == "end" and element is inside:
                yield element
                inside = None
                _forget(element)
    except etree.XMLSyntaxError as error:
        raise UnreadableExport(_broken(name, error)) from None


def text_of(element: Element, name: str) -> str:
    """The text of a child, without blanks around it; empty where there is none."""
    child = element.find(name)
    return "" if child is None else "".join(child.itertext(with_tail=False)).strip()


def _broken(name: str, error: Any) -> str:  # noqa: ANN401 - lxml ships no types
    line = getattr(error, "lineno", None)
    where = f"{name}: line {line}" if line else name
    return f"{where}: this is not well-formed XML, or the file was cut short: export it again"


def _forget(element: Element) -> None:
    element.clear(keep_tail=False)
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]
