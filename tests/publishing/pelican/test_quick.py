"""Quick Markdown is Markdown: the same letters come out, whatever goes in."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown import Markdown

from feedback_app.publishing.pelican import quick as own
from feedback_app.publishing.pelican.quick import quick
from tests.support.shop import ROOT

EXTENSIONS = ["extra", "sane_lists", "smarty", "feedback_app.publishing.masking"]
MORE = ["- ", "# ", "{: #x }", "http://a.example", "<https://a.example>", "sock"]
SIGNS = st.sampled_from(
    [
        *"*_`<>&'@1 ",
        "**",
        "\\",
        "[",
        "](/x)",
        "![",
        "]",
        "[^1]",
        "<b>",
        "&amp;",
        '"',
        "--",
        "...",
        "\n",
        "  \n",
        "\n\n",
        *MORE,
    ]
)
TEXTS = st.lists(SIGNS, max_size=30).map("".join)


def made(text: str, more: dict[str, Any], *, quickly: bool) -> str:
    md = Markdown(extensions=EXTENSIONS, extension_configs=more, output_format="html")
    return (quick(md) if quickly else md).convert(text)


@given(text=TEXTS, angled=st.booleans())
def test_quick_markdown_makes_what_markdown_makes(text: str, angled: bool) -> None:  # noqa: FBT001 - drawn
    more = {"smarty": {"smart_angled_quotes": angled}}
    assert made(text, more, quickly=True) == made(text, more, quickly=False)


@pytest.mark.parametrize("path", sorted((ROOT / "content" / "posts").glob("*.md")), ids=lambda path: path.stem[11:])
def test_quick_markdown_makes_of_our_posts_what_markdown_makes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert made(text, {}, quickly=True) == made(text, {}, quickly=False)


def test_every_pattern_of_markdown_is_known_so_that_plain_text_is_left_alone() -> None:
    md = quick(Markdown(extensions=EXTENSIONS))
    for name in ("inline", "smarty"):
        processor = md.treeprocessors[name]
        assert isinstance(processor, own.Quick)
        assert processor.plain("Socks that were never meant to match")
        assert not processor.plain("Socks \"that\" were [never](/x) 'meant' to match...")
