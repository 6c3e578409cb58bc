"""The plain text of a mailing says what its HTML says."""

import re

import pytest
from bs4 import BeautifulSoup
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedback_app.customers.topics import Topic
from feedback_app.mailing.mailings.source import MailingSource, source_html
from feedback_app.mailing.text.from_html import DEEPEST, plain_text

LINKS = re.compile(r'https?://[^\s)"<]+')


def about(body: str) -> MailingSource:
    """Return a mailing with this text."""
    return MailingSource("free-socks", Topic.SPECIALS, "Free socks", "friend", body)


def read(body: str) -> str:
    """Return the plain text of a mailing."""
    return plain_text(source_html(about(body))).strip("\n")


SHOWN = {
    "a heading": (
        "# Big *news*\n\nHello.\n\n## Socks\n\nMore.\n### Less",
        "Big news\n========\n\nHello.\n\nSocks\n-----\n\nMore.\n\nLess",
    ),
    "emphasis": ("*em* _em_ **strong** __strong__ `code`", "em em strong strong code"),
    "a name of a program": ("See `__init__` and `*x*`.", "See __init__ and *x*."),
    "an escape": ("\\*x\\* \\[y\\] \\# z", "*x* [y] # z"),
    "HTML and entities": ("<b>Raw</b> &amp; html, 3 &lt; 4<br>next", "Raw & html, 3 < 4\nnext"),
    "what is not shown": ("One.<!-- not yet -->\n\n<script>\nalert(1)\n</script>\n\nTwo.", "One.\n\nTwo."),
    "a link": ("See [the *shop*](https://s.example/a_b_c).", "See the shop (https://s.example/a_b_c)."),
    "a link by reference": ("Buy [socks][s].\n\n[s]: https://s.example/ 'Socks'", "Buy socks (https://s.example/)."),
    "a link that is its words": (
        "<https://s.example/> [https://s.example/a](https://s.example/a)",
        "https://s.example/ https://s.example/a",
    ),
    "a link with a blank": ("[here](<https://s.example/a b>)", "here (https://s.example/a%20b)"),
    "links side by side": (
        "<https://s.example/>x [](https://s.example/a)[](https://s.example/b)",
        "https://s.example/ x https://s.example/a https://s.example/b",
    ),
    "an image": ("![A sock](https://s.example/i.png) for ![](https://s.example/j.png) you", "[A sock] for you"),
    "an image that is a link": (
        "[![A sock](https://s.example/i.png)](https://s.example/)",
        "[A sock] (https://s.example/)",
    ),
    "an image without words that is a link": (
        "[![](https://s.example/i.png)](https://s.example/)",
        "https://s.example/",
    ),
    "lines": ("one\ntwo  \nthree  \nfour", "one\ntwo\nthree\nfour"),
    "a rule": ("a\n\n---\n\nb", f"a\n\n{'-' * 20}\n\nb"),
    "a list": ("Here:\n\n- one\n- two\n  lines\n\nThere.", "Here:\n\n- one\n- two\n  lines\n\nThere."),
    "a list of numbers": ("1. a\n2. b\n   lines\n", "1. a\n2. b\n   lines"),
    "lists in a list": ("- a\n    1. b\n        - c\n    2. d\n- e", "- a\n  1. b\n     - c\n  2. d\n- e"),
    "a list of paragraphs": ("1. a\n\n    more\n\n2. b", "1. a\n\n   more\n\n2. b"),
    "an empty item": ("<ul><li></li><li>b</li></ul>", "-\n- b"),
    "a quote": (
        "He said:\n\n> one\n> two\n>\n> > inner\n>\n> three",
        "He said:\n\n> one\n> two\n>\n> > inner\n>\n> three",
    ),
    "a quote in a list": ("- a\n\n    > b\n    > c", "- a\n\n  > b\n  > c"),
    "code": ("So:\n\n    if  x:\n\n        [y](z)  *w*", "So:\n\nif  x:\n\n    [y](z)  *w*"),
    "a table": (
        "|Sock|Price|\n|-|-|\n|[odd](https://s.example/)||\n|*even*|5|",
        "Sock · Price\nodd (https://s.example/) ·\neven · 5",
    ),
    "a table with more in it": (
        "<table><tr><td><p>a</p><ul><li>b<br>c</li></ul></td><td><pre>d\ne</pre></td></tr></table>",
        "a b c · d e",
    ),
    "a link of the reader's own": (
        "[Your choices]({{ preferences_link }})",
        "Your choices (\ue000preferences_link\ue001)",
    ),
    "a link that is said twice": ("[{{ preferences_link }}]({{ preferences_link }})", "\ue000preferences_link\ue001"),
    "a name in a heading": ("# Hello *{{ name }}*", "Hello \ue000name\ue001\n============"),
}


@pytest.mark.parametrize(("body", "text"), SHOWN.values(), ids=SHOWN)
def test_the_plain_text_of_markdown_is(body: str, text: str) -> None:
    assert read(body) == text


@pytest.mark.parametrize("inner", ["<blockquote>", "<ul><li>", "<ol><li>a", "<em>", "<div>"])
def test_deeply_nested_text_is_kept_and_not_indented_further(inner: str) -> None:
    text = plain_text(source_html(about(inner * 5000 + "At the bottom.")))
    assert "At the bottom." in text
    assert max(map(len, text.splitlines())) <= DEEPEST * 4 + len("1. aAt the bottom.")


# Words that occur nowhere in the syntax of Markdown and HTML.
words = st.text("xyzü", min_size=1, max_size=4)
links = words.map("https://s.example/{}".format)
inline = st.recursive(
    st.one_of(
        words, st.sampled_from(["&amp;", "\\*", "\n", "  \n", "{{ name }}", "<br>", "<b>", "[", "]", "(", "`", "<!--"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(" ".join),
        inner.map("*{}*".format),
        inner.map("**{}**".format),
        inner.map("`{}`".format),
        st.builds("[{}]({})".format, inner, links),
        st.builds("![{}]({})".format, words, links),
    ),
    max_leaves=6,
)
blocks = st.builds(
    "{}{}".format,
    st.sampled_from(
        [
            "",
            "# ",
            "- ",
            "    - ",
            "1. ",
            "> ",
            "> > ",
            "> - ",
            "    ",
            "<td>",
            "<pre>",
            "<li>",
            "</ul>",
            "|a|b|\n|-|-|\n|",
        ]
    ),
    inline,
)


@given(st.lists(blocks, max_size=6).map("\n\n".join))
@example("<table><tr><td>x</td></tr>\n\ny")
@settings(deadline=None, max_examples=300)
def test_the_text_has_all_words_and_links_of_the_html_in_their_order(body: str) -> None:
    html = source_html(about(body))
    text = plain_text(html)
    shown = BeautifulSoup(html, "html5lib")
    for image in shown.find_all("img"):
        image.replace_with(str(image["alt"]))
    rest = iter(text)
    # Compared without blanks: a line may end where a word ends.
    assert all(letter in rest for letter in re.findall(r"[xyzü]", shown.get_text())), text
    assert set(LINKS.findall(text)) <= set(LINKS.findall(html)), text
    assert all(str(link["href"]) in text for link in shown.find_all("a", href=True)), text
