"""Masked names: five x's each, in every place that a post's text can reach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown import Markdown

from feedback_app.publishing.builder import BuildRefused
from feedback_app.publishing.masking import masked
from tests.support.blog import Blog, tree
from tests.support.databases import SQLITE

NORA = "Wilhelmina Featherstone"
EVERYWHERE = f"""A word from [[{NORA}]], in *[[{NORA}]]* and in `[[{NORA}]]`.

<blockquote class="letter" markdown="1">
Yours.
<footer>[[Wilhelmina
Featherstone]]</footer>
</blockquote>

    in an example: [[{NORA}]]

[a link](/about.html "[[{NORA}]]") and ![[[{NORA}]]](/images/logo.svg)
"""
words = st.text(st.characters(categories=["Lu", "Ll"]), min_size=2, max_size=12)


@pytest.fixture(params=[SQLITE])
def backend(request: pytest.FixtureRequest) -> str:
    """One database is enough here."""
    return str(request.param)


def test_a_masked_name_reaches_no_file_that_a_build_leaves_behind(blog: Blog) -> None:
    post = blog.write("letter", f"A letter from [[{NORA}]]", text=EVERYWHERE)
    head = post.read_text(encoding="utf-8")
    post.write_text(head.replace("In short.", f"In short: [[{NORA}]]"), encoding="utf-8")
    blog.build()
    page = blog.page("2007/10/letter.html")
    assert "A letter from Wxxxxx Fxxxxx" in page
    assert page.count("Wxxxxx Fxxxxx") > 7
    instance = blog.settings.instance
    for name, data in {**tree(blog.output), **tree(instance)}.items():
        assert b"Featherstone" not in data, name
        assert b"Wilhelmina" not in data, name


def test_an_alias_keeps_the_name_out_of_the_file_as_well(blog: Blog) -> None:
    aliases = blog.settings.instance / "aliases.toml"
    aliases.write_text(f'"the bcc writer" = "{NORA}"\n', encoding="utf-8")
    blog.write("letter", text="As [[The Bcc writer]] says.")
    blog.build()
    assert "As Wxxxxx Fxxxxx says." in blog.page("2007/10/letter.html")
    # A file that somebody wrote by hand, and that nobody else on the machine needs to read.
    assert aliases.stat().st_mode & 0o777 == 0o600
    assert not [
        name for name, data in tree(blog.settings.instance).items() if b"Feather" in data and "alias" not in name
    ]


@pytest.mark.parametrize("line", [f"nora = {NORA}", 'nora = "@"', "nora = 3"])
def test_bad_aliases_are_refused_in_one_line_that_tells_no_name(blog: Blog, line: str) -> None:
    (blog.settings.instance / "aliases.toml").write_text(line, encoding="utf-8")
    with pytest.raises(BuildRefused, match=r"aliases\.toml") as refused:
        blog.build()
    assert len(str(refused.value).splitlines()) == 1
    assert "Feather" not in str(refused.value)


@given(st.lists(words, min_size=1, max_size=4))
def test_however_long_a_name_is_it_looks_the_same(name: list[str]) -> None:
    said = masked(f"so [[{' '.join(name)}]] says", {})
    shown = said.removeprefix("so ").removesuffix(" says").split(" ")
    assert [len(word) for word in shown] == [6] * len(name)
    assert all(word.endswith("xxxxx") for word in shown)


@pytest.mark.parametrize("text", ["a = [[1, 2], [3, 4]]", "if [[ -f socks ]]; then", "[one](/two.html)", "[[]]"])
def test_what_is_no_name_is_left_as_it_is(text: str) -> None:
    assert masked(text, {}) == text


def test_it_is_an_extension_of_python_markdown() -> None:
    convert = Markdown(extensions=["feedback_app.publishing.masking"]).convert
    assert convert("[[Nora Smith]]") == "<p>Nxxxxx Sxxxxx</p>"
