"""The one gate between a reader's text and HTML."""

import re
import time
import unicodedata

import html5lib
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from feedback_app.comments.markup.sanitizer import (
    LONGEST_TEXT,
    MASKED,
    TAGS,
    clean_text,
    comment_html,
    has_address,
    is_visible,
    shows_address,
    visible_text,
    without_addresses,
)

REL = 'rel="nofollow ugc noopener"'
GATE = {
    "paragraphs and line breaks": ("one\ntwo\n\nthree", "<p>one<br>\ntwo</p>\n<p>three</p>"),
    "emphasis": ("*so* **very** sorry", "<p><em>so</em> <strong>very</strong> sorry</p>"),
    "code": ("`Bcc: <all>`", "<p><code>Bcc: &lt;all&gt;</code></p>"),
    "a quote": ("> said\n\nyes", "<blockquote>\n<p>said</p>\n</blockquote>\n<p>yes</p>"),
    "a list": ("- red\n- teal", "<ul>\n<li>red</li>\n<li>teal</li>\n</ul>"),
    "a list that goes on": ("3. red\n4. teal", '<ol start="3">\n<li>red</li>\n<li>teal</li>\n</ol>'),
    "a year": ("2024. What a year", '<ol start="2024">\n<li>What a year</li>\n</ol>'),
    "a link": ("[here](https://example.com/)", f'<p><a href="https://example.com/" {REL}>here</a></p>'),
    "an autolink": ("<http://example.com/?a=1&b=2>", f'<p><a href="http://example.com/?a=1&amp;b=2" {REL}>http://example.com/?a=1&amp;b=2</a></p>'),
    "a link's title": ('[x](https://e.example "t")', f'<p><a href="https://e.example" {REL}>x</a></p>'),
    "raw HTML": ("<b>bold</b>", "<p>&lt;b&gt;bold&lt;/b&gt;</p>"),
    "a script": ("<script>alert(1)</script>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
    "an event handler": ("<img src=x onerror=alert(1)>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>"),
    "an HTML comment": ("<!-- hi -->", "<p>&lt;!-- hi --&gt;</p>"),
    "a script as a link": ("[x](javascript:alert(1))", f"<p><a {REL}>x</a></p>"),
    "a script as a link, in disguise": ("[x](jAvA&#115;cript&#58;alert(1))", f"<p><a {REL}>x</a></p>"),
    "data as a link": ("[x](data:text/html,hi)", f"<p><a {REL}>x</a></p>"),
    "a link without a scheme": ("[x](//evil.example/)", f"<p><a {REL}>x</a></p>"),
    "a link into the shop's own pages": ("[x](/feedback/unsubscribe/t)", f"<p><a {REL}>x</a></p>"),
    "ftp": ("<ftp://example.com/>", f"<p><a {REL}>ftp://example.com/</a></p>"),
    "any other scheme": ("<ssh://example.com/>", f"<p><a {REL}>ssh://example.com/</a></p>"),
    "an image": ("![socks](https://e.example/s.png)", "<p>![socks](https://e.example/s.png)</p>"),
    "a heading": ("# Big", "<p># Big</p>"),
    "an underlined heading": ("Big\n===", "<p>Big<br>\n===</p>"),
    "a rule": ("---", "<p>---</p>"),
    "a reference link": ("[x][1]\n\n[1]: http://e.example", "<p>[x][1]</p>\n<p>[1]: http://e.example</p>"),
    "entities": ("&lt;b&gt; &amp; &copy; AT&T", "<p>&lt;b&gt; &amp; © AT&amp;T</p>"),
    "entities that override the direction": ("&#x202e;socks", "<p>socks</p>"),
}  # fmt: skip
HIDING_PLACES = (
    "write to alice@example.com, please",
    "<alice@example.com>",
    "<mailto:alice@example.com>",
    "[me](mailto:alice@example.com)",
    "[me](https://e.example/?to=alice@example.com)",
    "[me](https://e.example/?to=alice%40example.com)",
    "<https://e.example/?to=alice%40example.com>",
    "https://alice@example.com/",
    "alice&#64;example.com",
    "alice&#x40;example.com",
    "alice&commat;example.com",
    "alice&amp;#64;example.com",
    "alice\N{FULLWIDTH COMMERCIAL AT}example.com",
    "alice\N{SMALL COMMERCIAL AT}example.com",
    "alice\N{ZERO WIDTH SPACE}@example.com",
    "alice\\@example.com",
    "alice**@**example.com",
    "alice@*example*.com",
    "alice`@example.com`",
    "[alice](https://e.example)@example.com",
    '"alice"@example.com',
    "alice@[192.0.2.1]",
    "> - `alice@example.com`",
)
NASTY = {
    "brackets": "[" * 9999,
    "few brackets": "[](" * 99 + "x" * 9000,
    "links": "[a](" * 2500,
    "quotes": ">" * 5000,
    "quote lines": "> x\n" * 2500,
    "a staircase of quotes": "\n".join(">" * step + " x" for step in range(140)),
    "a staircase of lists": "\n".join(" " * step + "- x" for step in range(140)),
    "quotes in lists in quotes": "\n".join("> - " * min(step, 50) for step in range(90)),
    "lists in a line": "- " * 5000,
    "stars": "*a" * 5000,
    "strong": "**a " * 2500,
    "underscores": "_a_" * 3333,
    "a mix of emphasis": "*_" * 5000,
    "backticks": "".join("`" * step + " " for step in range(140)),
    "backticks and blanks": "`` ` " * 2000,
    "backticks, escaped": "\\``" * 3333,
    "backticks in brackets": "[\\``&" * 2000,
    "backslashes": "\\" * 9999,
    "ampersands": "&" * 9999,
    "entities in entities": "&" + "amp;" * 2499,
    "angles": "<a " * 3333,
    "comments": "<!--" * 2500,
    "autolinks": "<http://" * 1200,
    "a long word": "a" * 9999,
    "a long word at the end": "a" * 9900 + "@",
    "addresses": "a@" * 4999,
    "quote marks": '"' * 9999,
    "spaces": "x" + " " * 9990 + "x",
    "paragraphs": "x\n\n" * 3333,
    "accents": "e" + "\N{COMBINING ACUTE ACCENT}" * 9998,
}
PIECES = st.sampled_from(
    [
        *"<>[]()!*_`#&;:\"'@/\\ \n\t-+1.ab",
        *(
            "javascript:",
            "http://",
            "https://e.example/",
            "mailto:",
            "data:",
            "](",
            "[a](https://e.example/)",
            " *socks*",
            "**odd pairs**",
            "[*b* `c`](http://e.example/?a=1&b=%20)",
            "&#64;",
            "%40",
            "alice@example.com",
        ),
        *("<script>", "</p>", "<img src=x onerror=a>", "onclick=", "\x02", "\x03", "    "),
    ]
)
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join))
MARKS = ["*", "**", "***", "_", "__", "a", "b ", "\n", " ", "socks", "[x](http://a/)", "`c`", ".", "é", "\u00a0", "("]
MARKED = st.lists(st.sampled_from(MARKS), max_size=30).map("".join)
WORDS = [
    "Odd ", "socks", " ", "\n", "\n\n", ". ", "1. ", "- ", "> ", "f", "h", "'", '"', "#", "_", "&amp;", "!", "*", "&",
    " & ", "T&T", ";", "<", "< ", ">", "://", "<ssh://e/>", "*so*", "**very** ", "[here](https://e.example/a_b)",
    "[*x*](/y)", "![x](y)", "[a b]( c)",
]  # fmt: skip
PLAIN = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
WIDE_AT, LEADER = "\N{FULLWIDTH COMMERCIAL AT}", "\N{ONE DOT LEADER}"
ADDRESS_SHAPE = re.compile(r"[\w.+-]+@[\w-]+\.\w+")


@pytest.mark.parametrize("what", GATE)
def test_the_gate_prints(what: str) -> None:
    typed, printed = GATE[what]
    assert comment_html(typed) == printed


@pytest.mark.parametrize("typed", HIDING_PLACES)
def test_an_address_is_masked_wherever_it_hides(typed: str) -> None:
    printed = comment_html(typed)
    assert not ADDRESS_SHAPE.search(visible_text(printed)), printed
    assert "example.com" not in visible_text(printed).replace("https://e.example", "")
    assert "alice@" not in printed
    assert "%40" not in printed
    assert "mailto" not in printed or typed.startswith("<mailto:")
    assert shows_address(typed, comment_html(typed)) or "mailto:" in typed


@pytest.mark.parametrize(
    "typed",
    [
        "socks @ 3 dollars",
        "@nora thanks",
        "https://social.example/@nora",
        "https://medium.example/@bob/x?a=1",
        "https://photos.example/photos/12345@N00/678",
        "See https://photos.example/photos/12345@N00, or (https://photos.example/12345@N00).",
        "https://photos.example/?by=12345@N00&page=2",
        "https://photos.example/12345%40N00",
        "3 > 2",
        "Bcc: everybody",
    ],
)
def test_what_is_no_address_is_left_alone(typed: str) -> None:
    assert not has_address(typed)
    assert visible_text(comment_html(typed)) == typed


@settings(max_examples=300, deadline=None)
@given(TEXTS | MARKED | PLAIN)
@example("0[]()0@0@0.0")
def test_whatever_is_typed_only_allowed_tags_attributes_and_schemes_come_out(typed: str) -> None:
    printed = comment_html(clean_text(typed))
    root = html5lib.parseFragment(printed, namespaceHTMLElements=False)
    for element in list(root.iter())[1:]:
        assert element.tag in TAGS, printed
        assert set(element.attrib) <= {"a": {"href", "rel"}, "ol": {"start"}}.get(element.tag, set()), printed
        assert element.get("start", "1").isdigit(), printed
        assert re.match(r"https?://", element.get("href", "http://"), re.IGNORECASE), printed
    shown = unicodedata.normalize("NFKC", "".join(root.itertext()))
    # What stood beside an address is not beside what stood on its other side.
    assert not ADDRESS_SHAPE.search(shown.replace("...@...", " ")), printed


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_printing_twice_or_cleaning_twice_changes_nothing(typed: str) -> None:
    once = clean_text(typed)
    assert clean_text(once) == once
    assert comment_html(once) == comment_html.__wrapped__(once)


@pytest.mark.parametrize("what", NASTY)
def test_the_gate_is_quick_whatever_comes(what: str) -> None:
    text = NASTY[what][:LONGEST_TEXT]
    started = time.thread_time()
    comment_html.__wrapped__(clean_text(text))
    assert time.thread_time() - started < 1


@pytest.mark.parametrize("what", NASTY)
def test_what_is_too_much_for_the_parser_spoils_no_comment_after_it(what: str) -> None:
    comment_html.__wrapped__(clean_text(NASTY[what]))
    typed, printed = GATE["emphasis"]
    assert comment_html.__wrapped__(typed) == printed


def test_direction_overrides_controls_and_towers_of_accents_are_taken_out() -> None:
    assert clean_text("so\0rry\x1b[31m") == "sorry[31m"
    assert clean_text("\N{RIGHT-TO-LEFT OVERRIDE}socks\N{POP DIRECTIONAL FORMATTING}") == "socks"
    assert clean_text("e" + "\N{COMBINING ACUTE ACCENT}" * 50) == "e" + "\N{COMBINING ACUTE ACCENT}" * 3
    assert clean_text("one\r\ntwo\rthree\n") == "one\ntwo\nthree"


@pytest.mark.parametrize(
    "blank", ["", " \n\t", "\N{ZERO WIDTH SPACE}", "\N{HANGUL FILLER}", "\N{COMBINING ACUTE ACCENT}"]
)
def test_blank_is_what_cannot_be_seen(blank: str) -> None:
    assert not is_visible(blank)


@pytest.mark.parametrize("seen", ["a", "?", "\N{SOCKS}", "\N{HEBREW LETTER ALEF}", "7"])
def test_whatever_can_be_seen_is_not_blank(seen: str) -> None:
    assert is_visible(seen)


@pytest.mark.parametrize(
    "typed",
    [
        "https://alice@example/x",
        "https://e.example/12345@N00/alice@example.com",
        "https://e.example/alice@example.com/12345@N00",
        "https://e.example/alice@example\N{ZERO WIDTH SPACE}.com",
        "https://e.example/alice@example\N{IDEOGRAPHIC FULL STOP}com",
        "https://e.example/alice@example*.*com",
        "<https://e.example/alice@example>.com",
        "https://e.example/?to=alice%40example%2ecom",
        "ftp://e.example/alice@example",
        "alice@example",
    ],
)
def test_what_only_looks_like_a_part_of_a_link_is_masked(typed: str) -> None:
    assert has_address(typed)
    assert "alice@" not in without_addresses(typed)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("1½ cups of H₂O™, alice@example.com, ﬁne", f"1½ cups of H₂O™, {MASKED}, ﬁne"),
        ("½alice@example.com²", MASKED),
        (f"\N{DIAERESIS}alice{WIDE_AT}example.com ½", f"{MASKED} ½"),
        (f"5² m²\nalice\N{SMALL COMMERCIAL AT}example{LEADER}com\n™", f"5² m²\n{MASKED}\n™"),
        (f"½ {MASKED} ™ b@c.example", f"½ {MASKED} ™ {MASKED}"),
        ("Cafe\N{COMBINING ACUTE ACCENT} ½ a@b.example", f"Cafe\N{COMBINING ACUTE ACCENT} ½ {MASKED}"),
    ],
)
def test_only_the_address_is_masked_and_all_else_stands_as_it_was_typed(typed: str, kept: str) -> None:
    assert without_addresses(typed) == kept
    assert visible_text(comment_html(typed)) == kept


LOOKALIKES = st.text(
    st.sampled_from(f"ab½℀\u00a8\u00b4ﬁ™{WIDE_AT}@.{LEADER}\u3002%40/ \n\u0338\u0301<\u200b…"), max_size=30
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(TEXTS, LOOKALIKES))
def test_a_masked_text_has_no_address_and_is_masked_once(typed: str) -> None:
    masked = without_addresses(typed)
    assert not has_address(masked)
    assert without_addresses(masked) == masked
    assert (masked != typed) == has_address(typed)


def test_a_mask_is_not_taken_for_an_address() -> None:
    assert not has_address(f"she wrote {MASKED} there")
