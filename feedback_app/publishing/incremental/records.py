"""What the build cache holds, one type for each kind of row."""

from typing import Any, NamedTuple

from feedback_app.publishing.files.scan import Stamp


class PostRecord(NamedTuple):
    """A post's file as it was last read.

    `stamp` and `read_at` (nanoseconds since 1970) tell whether the file may have changed since, `file_digest` is the
    fingerprint of its bytes, `card` is what lists show of the post, `card_digest` the card's fingerprint.
    """

    stamp: Stamp
    read_at: int
    file_digest: bytes
    card_digest: bytes
    card: dict[str, Any]


class PostTexts(NamedTuple):
    """A post's HTML and its head (JSON) as its file says them; `page_text` is the HTML as pages show it.

    `page_text` is None where it depends on other files, as it does where the post links to one.
    """

    content: str
    metadata: str
    page_text: str | None


class ListPiece(NamedTuple):
    """A piece of a list: whether it shows more of its posts than their cards, its key, and its HTML."""

    reads_full_posts: bool
    key: bytes
    html: str
