"""Mailing files: a fault is reported in one line, and a good file becomes a letter."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from feedback_app.config import load_settings
from feedback_app.mailing.mailings.source import (
    MailingSource,
    SourceRefused,
    fill_html,
    fill_text,
    read_source,
    source_html,
)
from feedback_app.mailing.text.from_html import plain_text
from tests.support.shop import ROOT

HEAD = "Subject: Free socks\nTopic: specials\nSlug: free-socks\n"
VALUES = {
    "name": "<b>Al</b> & Co",
    "shop": "Mongrel Socks",
    "preferences_link": "https://s.example/p/t0ken",
    "unsubscribe_link": "https://s.example/u/t0ken",
}


def source_of(tmp_path: Path, text: str | bytes) -> MailingSource:
    """Return the mailing source of a file with this text. Raises SourceRefused."""
    path = tmp_path / "mailing.md"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_source(path, load_settings({}))


def refusal(tmp_path: Path, text: str | bytes) -> str:
    """Return why a text is refused, after checking that it is one line with the file and no address."""
    with pytest.raises(SourceRefused) as refused:
        source_of(tmp_path, text)
    words = str(refused.value)
    assert words.startswith(str(tmp_path / "mailing.md") + ":")
    assert "\n" not in words
    assert "@" not in words
    assert "bob" not in words
    return words.removeprefix(str(tmp_path / "mailing.md"))


def body(tmp_path: Path, text: str) -> MailingSource:
    """Return the mailing source of this text below a valid head. Raises SourceRefused."""
    return source_of(tmp_path, f"{HEAD}\n{text}\n")


def html(tmp_path: Path, text: str) -> BeautifulSoup:
    """Return the HTML of a text, with values for its placeholders."""
    return BeautifulSoup(fill_html(source_html(body(tmp_path, text)), VALUES), "html5lib")


def plain(tmp_path: Path, text: str) -> str:
    """Return the plain text of a text, with values for its placeholders."""
    return fill_text(plain_text(source_html(body(tmp_path, text))), VALUES).strip()


HEADS = {
    "nothing in it": ("", ": the head has no `Subject:`"),
    "no subject": ("Topic: specials\nSlug: s\n\nHello.", ": the head has no `Subject:`"),
    "an empty subject": ("Subject:\nTopic: specials\nSlug: s\n\nHello.", ": the head has no `Subject:`"),
    "no topic": ("Subject: S\nSlug: s\n\nHello.", ": the head has no `Topic:`"),
    "no slug": ("Subject: S\nTopic: specials\n\nHello.", ": the head has no `Slug:`"),
    "a topic that there is not": ("Subject: S\nTopic: offers\nSlug: s\n\nHello.", ": Topic is one of specials, news"),
    "a slug with a capital": ("Subject: S\nTopic: news\nSlug: Free\n\nHello.", ": Slug is made of small letters"),
    "a slug with a path": ("Subject: S\nTopic: news\nSlug: ../s\n\nHello.", ": Slug is made of small letters"),
    "a slug that is too long": (f"Subject: S\nTopic: news\nSlug: {'s' * 101}\n\nHello.", ": Slug is made of"),
    "a line that is no head": ("Subject: S\nHello there\n\nHello.", ":2: the head has lines like"),
    "a header of its own": ("Subject: S\nBcc: bob@y.example\n\nHello.", ":2: the head has lines like"),
    "two subjects": (f"{HEAD}Subject: Again\n\nHello.", ":4: there are two lines `Subject:`"),
    "two slugs": (f"{HEAD}slug: again\n\nHello.", ":4: there are two lines `Slug:`"),
    "no text": (f"{HEAD}\n \n", ": there is no text below the head"),
    "no empty line after the head": (HEAD, ": there is no text below the head"),
    "a placeholder in its subject": (HEAD.replace("Free", "{{ name }}") + "\nHello.", ": Subject is one line"),
    "a subject that is too long": (HEAD.replace("Free", "F" * 200) + "\nHello.", ": Subject is one line"),
    "an invisible character in its subject": (HEAD.replace("Free", "F\u202eree") + "\nHello.", ": Subject is one line"),
    "an invisible character in its nameless word": (f"{HEAD}Nameless: a\u200bb\n\nHello.", ": Nameless has invisible"),
    "a name as its nameless word": (f"{HEAD}Nameless: {{{{ name }}}}\n\nHello.", ": Nameless takes no placeholder"),
    "an unknown placeholder as its nameless word": (
        f"{HEAD}Nameless: dear {{{{ foo }}}}\n\nHello.",
        ": Nameless takes",
    ),
    "a piece of a placeholder in its nameless word": (f"{HEAD}Nameless: name }}}}\n\nHello.", ": Nameless takes no"),
    "an address in its subject": (HEAD.replace("Free", "bob@y.example") + "\nHello.", ": there is an address here"),
    "an address in its nameless word": (f"{HEAD}Nameless: bob@y.example\n\nHello.", ": there is an address here"),
    "bytes that are not UTF-8": (HEAD.encode() + b"\nGr\xfc\xdfe", ": this is not UTF-8"),
}
BODIES = {
    "an unknown placeholder": ("One.\n\n{{ nmae }}", ":7: there is no placeholder {{ nmae }}; there are {{ name }}"),
    "a placeholder that asks for the address": ("{{ email }}", ":5: there is no placeholder {{ email }}"),
    "a placeholder that is a program": ("{{ name.upper() }}", ":5: a placeholder is written"),
    "a placeholder in capitals": ("{{ NAME }}", ":5: there is no placeholder"),
    "a placeholder that is not closed": ("{{ name }", ":5: a placeholder is written"),
    "a placeholder that is not opened": ("name }}", ":5: a placeholder is written"),
    "a placeholder on two lines": ("{{\nname }}", ":5: a placeholder is written"),
    "a loop": ("{% for x in y %}", ":5: a placeholder is written"),
    "a character that stands in for a placeholder": ("\ue000name\ue001", ":5: there is an invisible character"),
    "a NUL": ("Hello.\n\x00", ":6: there is an invisible character"),
    "a character that Markdown uses itself": ("\x02klzzwxh:0000\x03", ":5: there is an invisible character"),
    "an entity that is a character of Unicode's private use": ("&#xE000;nmae&#xE001;", ": an entity (such as &#1;)"),
    "an entity that keeps a slot's place": ("&#xE002;to&#xE003;", ": an entity (such as &#1;)"),
    "a placeholder with emphasis in it": ("&#xE000;na*me*&#xE001;", ": an entity (such as &#1;)"),
    "a thousand lists in each other": ("- " * 1000 + "a", ": lists and quotes stand too deep"),
    "an address": ("One.\nWrite to bob@y.example", ":6: there is an address here that is not the shop's own"),
    "an address in a broken link's words": ("[bob@y.example](nowhere)", ":5: there is an address here"),
    "an address in a link": ("[x](https://s.example/?to=bob%40y.example)", ":5: there is an address here"),
    "an address with an entity": ("bob&#64;y.example", ":5: there is an address here"),
    "an address with emphasis in it": ("bob@**y**.example", ": this shows an address"),
    "an address with an escaped full stop": ("bob@y\\.example", ": this shows an address"),
    "an address in a tag's comment": ("b<!-- -->ob@y.<i>example</i>", ":5: there is an address here"),
    "an address in angle brackets": ("<bob@y.example>", ":5: there is an address here"),
    "a link without a scheme": ("[here](www.socks.example)", ":5: the link of “here” is broken"),
    "a link without a host": ("[here](https:///path)", ":5: the link of “here” is broken"),
    "a link to a file": ("[here](/2007/10/opps.html)", ":5: the link of “here” is broken"),
    "a link that runs": ("[here](javascript:alert(1))", ":5: the link of “here” is broken"),
    "a link that is not closed in its host": ("[here](https://[::1)", ":5: the link of “here” is broken"),
    "a link by reference without a scheme": ("[here][1]\n\n[1]: socks.example", ": a link is broken"),
    "a link by reference that runs": ("[here][1]\n\n[1]: javascript:alert(1)", ": a link is broken"),
    "a link in HTML that runs": ('<a href="javascript:alert(1)">here</a>', ": a link is broken"),
    "an image in HTML without a host": ('<img src="socks.png">', ": a link is broken"),
    "a link that is never closed": (
        "Hello.\n[The *shop*](https://s.example",
        ": the link of “The shop” is broken: it is",
    ),
    "a link that is never closed on its line": (
        "One.\n[Here](https://s.example\n\nTwo.",
        ":6: the link of “Here” is broken",
    ),
    "a link of one's own that is never closed": ("[Here]({{ preferences_link }}", ":5: the link of “Here” is broken"),
    "a link with a name that is never closed": (
        "[{{ name }}](https://s.example",
        ":5: the link of “{{ name }}” is broken",
    ),
    "a link with brackets that is never closed": ("[a [b] c](https://s.example", ":5: the link of “a [b] c” is broken"),
    "an image that is never closed": ("![Sock](https://s.example", ":5: the link of “Sock” is broken"),
    "a link by a reference that is not there": (
        "One.\n\n[Here][r]",
        ":7: the link of “Here” is broken: there is no line `[r]:",
    ),
    "a link by its own words that are no reference": (
        "[Here][]",
        ":5: the link of “Here” is broken: there is no line `[Here]:",
    ),
    "an image by a reference that is not there": ("![Sock][r]", ":5: the link of “Sock” is broken"),
    "a link whose host has an empty label": ("[here](https://s..example)", ":5: the link of “here” is broken"),
    "a reference whose host has an empty label": ("[here][r]\n\n[r]: https://.example/", ": a link is broken"),
    "a link with one slash": ("[here](https:/s.example)", ":5: the link of “here” is broken"),
    "a link in angle brackets with one slash": ("<https:/s.example>", ":5: the link of “https:/s.example” is broken"),
    "a link in angle brackets without a scheme": ("<www.s.example>", ":5: the link of “www.s.example” is broken"),
    "a letter behind a link": (
        "One.\n{{ preferences_link }}x",
        ":6: the link {{ preferences_link }} is broken by what",
    ),
    "a digit behind a link": ("{{unsubscribe_link}}1", ":5: the link {{ unsubscribe_link }} is broken by what"),
    "emphasis behind a link": ("{{ preferences_link }}**x**", ":5: the link {{ preferences_link }} is broken by what"),
    "a link behind a link": ("{{ preferences_link }}/{{ unsubscribe_link }}", ":5: the link {{ preferences_link }} is"),
    "a word behind a link's full stop": ("{{ preferences_link }}.Thanks", ":5: the link {{ preferences_link }} is"),
    "a name as a link": ("[here]({{ name }})", ": a link or an image can be {{ preferences_link }}"),
    "a name within a link": ("[here](https://s.example/?n={{ name }})", ": a link or an image can be"),
    "a link within a link": ("[here](https://s.example/?n={{ preferences_link }})", ": a link or an image can be"),
    "a link as an image": ("![here]({{ preferences_link }})", ": a link or an image can be"),
    "a link in a title": ('[here](https://s.example "{{ preferences_link }}")', ": the title of a link"),
}


@pytest.mark.parametrize(("text", "why"), HEADS.values(), ids=HEADS)
def test_a_faulty_mailing_file_is_refused_in_one_line(text: str | bytes, why: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, text).startswith(why)


@pytest.mark.parametrize(("text", "why"), BODIES.values(), ids=BODIES)
def test_a_fault_in_the_text_is_refused_with_its_line_number(text: str, why: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, f"{HEAD}\n{text}\n").startswith(why)


GOOD = (
    "As he wrote [sic], (see [1]) and [[First Last]], a[1] [2] [ ] [x].",
    "Write `[words](target)` or ``[`a`][r]``, `a\n[b](c)` and <code>[d][e]</code>.",
    "So:\n\n    [words](target\n    [a][b]\n\n<pre>[c](d</pre>",
    "\\[words\\](target), \\[a\\][b], \\[[c]\\](d) and \\![e].\n\n[f\\](g)\n\n&#91;h](i)",
    "[here][r], [r][] and [there] [r].\n\n[r]: https://s.example/",
    "[[1]](https://s.example/)(or so) and [[2]](https://s.example/)[3].",
    "[here](<https://s.example/a b>) [here]( https://s.example/ ) [here](https://s.example./a_(b)) [here](http://[::1]/)",
    "{{ preferences_link }}. ({{ preferences_link }}) *{{ preferences_link }}* {{ preferences_link }}!",
    "_{{ preferences_link }}_ “{{ preferences_link }}” <{{ preferences_link }}> [here]({{ preferences_link }})s",
    "[{{ preferences_link }}]({{ preferences_link }}): {{ preferences_link }}\nand {{ preferences_link }}… {{ shop }}",
)


@pytest.mark.parametrize("text", GOOD)
def test_valid_brackets_and_links_are_accepted(text: str, tmp_path: Path) -> None:
    assert body(tmp_path, text).body == f"{text}\n"


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match=r"nothing\.md: No such file or directory"):
        read_source(tmp_path / "nothing.md", load_settings({}))
    with pytest.raises(SourceRefused, match="Is a directory"):
        read_source(tmp_path, load_settings({}))


def test_a_file_with_a_byte_order_mark_and_crlf_is_read_like_any(tmp_path: Path) -> None:
    windows = source_of(tmp_path, b"\xef\xbb\xbf" + f"{HEAD}\nHello.\nAgain.\n".replace("\n", "\r\n").encode())
    assert windows == source_of(tmp_path, f"{HEAD}\nHello.\nAgain.\n")
    assert windows.body == "Hello.\nAgain.\n"
    assert windows.nameless == "friend"


def test_the_mailing_in_content_is_valid() -> None:
    source = read_source(ROOT / "content" / "mailings" / "free-socks.md", load_settings({}))
    assert (source.slug, source.topic, source.nameless) == ("free-socks", "specials", "friend")


def test_a_mailing_may_contain_the_shops_own_address(tmp_path: Path) -> None:
    shown = html(tmp_path, "Write to hello@mongrelsocks.example, or to <hello@mongrelsocks.example>.")
    assert shown.get_text().count("hello@mongrelsocks.example") == 2
    assert "hello@mongrelsocks.example" in plain(tmp_path, "Write to hello@mongrelsocks.example!")


def test_every_placeholder_is_filled_in_text_and_in_html(tmp_path: Path) -> None:
    text = "Hello {{ name }} of {{shop}}:\n\n{{ preferences_link }} and {{ unsubscribe_link }}"
    filled = plain(tmp_path, text)
    assert (
        filled
        == f"Hello <b>Al</b> & Co of Mongrel Socks:\n\n{VALUES['preferences_link']} and {VALUES['unsubscribe_link']}"
    )
    shown = html(tmp_path, text)
    assert shown.get_text().split() == filled.split()
    assert shown.find("b") is None


def test_a_name_with_markup_is_escaped_in_text_and_attributes(tmp_path: Path) -> None:
    values = VALUES | {"name": '"><script>alert(1)</script>'}
    text = '{{ name }} *{{ name }}* `{{ name }}` [{{ name }}](https://s.example/ "{{ name }}") ![{{ name }}](https://s.example/i.png)'
    shown = BeautifulSoup(fill_html(source_html(body(tmp_path, text)), values), "html5lib")
    assert shown.find("script") is None
    assert shown.get_text().count(values["name"]) == 4
    assert shown.find("a")["title"] == values["name"]  # type: ignore[index]
    assert shown.find("img")["alt"] == values["name"]  # type: ignore[index]


def test_a_name_that_looks_like_a_placeholder_stays_a_name(tmp_path: Path) -> None:
    values = VALUES | {"name": "{{ preferences_link }}"}
    assert (
        fill_text(plain_text(source_html(body(tmp_path, "Hello {{ name }}."))), values).strip()
        == "Hello {{ preferences_link }}."
    )
    assert "href" not in fill_html(source_html(body(tmp_path, "Hello {{ name }}.")), values)


@pytest.mark.parametrize("name", ["preferences_link", "unsubscribe_link"])
def test_a_link_can_be_followed_bare_and_in_words(name: str, tmp_path: Path) -> None:
    for text in (f"Here: {{{{ {name} }}}}", f"[Here]({{{{ {name} }}}})", f"[Here]({{{{{name}}}}} 'Choose')"):
        links = html(tmp_path, text).find_all("a")
        assert [link["href"] for link in links] == [VALUES[name]], text
        assert VALUES[name] in plain(tmp_path, text)


def test_a_link_whose_words_are_the_link_is_one_link(tmp_path: Path) -> None:
    links = html(tmp_path, "[{{ preferences_link }}]({{ preferences_link }})").find_all("a")
    assert [(link["href"], link.get_text()) for link in links] == [(VALUES["preferences_link"],) * 2]


def test_markdown_is_rendered_for_both_parts(tmp_path: Path) -> None:
    text = "Hello **you**,\n\nsee [the shop](https://s.example/a_b_c) or <https://s.example/>.\n\n- one\n- two"
    shown = html(tmp_path, text)
    assert [link["href"] for link in shown.find_all("a")] == ["https://s.example/a_b_c", "https://s.example/"]
    assert [item.get_text() for item in shown.find_all("li")] == ["one", "two"]
    assert plain(tmp_path, text) == (
        "Hello you,\n\nsee the shop (https://s.example/a_b_c) or https://s.example/.\n\n- one\n- two"
    )


def test_markup_that_letters_do_not_allow_is_removed(tmp_path: Path) -> None:
    shown = html(tmp_path, 'Hi <script>alert(1)</script><b onclick="x()" style="x">there</b><form><input></form>')
    assert str(shown.find("body")).replace("\n", "").replace("<p></p>", "") == "<body><p>Hi there</p></body>"
