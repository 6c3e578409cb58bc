"""What is to be said against the words of a comment alone, as its readers see them."""

import pytest

from feedback_app.comments.markup.sanitizer import comment_html
from feedback_app.comments.spam.verdicts import Rules, count_links, judge_text


@pytest.mark.parametrize(
    "body",
    [
        "Best cas*i*no in town",
        "Best **cas**ino in town",
        "Best cas\N{ZERO WIDTH SPACE}ino in town",
        "Best\N{ZERO WIDTH SPACE}casino in town",
        "Best cas\N{SOFT HYPHEN}ino in town",
        "Best cas\N{COMBINING GRAPHEME JOINER}ino in town",
        "Best \N{FULLWIDTH LATIN SMALL LETTER C}asino in town",
        "Best cas&shy;ino in town",
        "Best cas\\ino in *CASINO* town",
        "Best [cas](https://e.example/)ino in town",
        "Best [town](https://casino.example/)",
    ],
)
def test_a_listed_word_is_found_as_readers_see_it(body: str) -> None:
    said = judge_text(author="Nora", text=body, html=comment_html(body), rules=Rules(words=("casino",)))
    assert said == ["on the shop's list: casino"]


@pytest.mark.parametrize("body", ["A casinoesque *evening*", "cas ino", "cas\nino"])
def test_a_word_that_readers_do_not_see_is_not_found(body: str) -> None:
    assert judge_text(author="Nora", text=body, html=comment_html(body), rules=Rules(words=("casino",))) == []


FOUR = "http://a.example http://b.example, (http://c.example) HTTPS://d.example/x"


@pytest.mark.parametrize(
    ("body", "links"),
    [
        ("Hello: no link at all.", 0),
        (FOUR, 4),
        ("<https://a.example>", 1),
        ("<https://a.example/https://b.example/>", 1),
        ("[https://a.example](https://a.example/)", 1),
        ("[here](https://a.example)", 1),
        ("[https://b.example](https://a.example)", 2),
        ("[here](https://a.example) https://b.example", 2),
        ("`https://a.example`", 1),
        ("ht*tp*s://a.example h\N{ZERO WIDTH SPACE}ttp://b.example", 2),
        ("http\N{FULLWIDTH COLON}//a.example", 1),
        ("[x](/a) [y](javascript:void)", 0),
    ],
)
def test_links_are_counted_be_they_only_written_out(body: str, links: int) -> None:
    assert count_links(comment_html(body)) == links


def test_four_links_that_are_only_written_out_wait() -> None:
    said = judge_text(author="Nora", text=FOUR, html=comment_html(FOUR), rules=Rules(most_links=2))
    assert said == ["4 links"]
