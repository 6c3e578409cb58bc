"""What is to be said against the words of a comment alone, as its readers see them."""

import pytest

from feedback_app.comments.markup import comment_html
from feedback_app.comments.verdicts import Rules, judge_words


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
    said = judge_words(author="Nora", text=body, html=comment_html(body), rules=Rules(words=("casino",)))
    assert said == ["on the shop's list: casino"]


@pytest.mark.parametrize("body", ["A casinoesque *evening*", "cas ino", "cas\nino"])
def test_a_word_that_readers_do_not_see_is_not_found(body: str) -> None:
    assert judge_words(author="Nora", text=body, html=comment_html(body), rules=Rules(words=("casino",))) == []
