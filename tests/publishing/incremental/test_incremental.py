"""The promise of a small build: whatever was written, renamed, redated or taken away, the site is a full build's."""

import gc
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from pelican.contents import Page, Static
from pelican.plugins import signals

from feedback_app.comments.models import CommentStatus
from feedback_app.comments.services import list_comments
from feedback_app.config import load_settings
from feedback_app.db.setup import open_store
from feedback_app.publishing.builder import Builder, BuildRefused
from feedback_app.publishing.pelican import generators
from feedback_app.publishing.pelican.generators import PostsGenerator
from tests.support.blog import Blog, make_blog, tree
from tests.support.clock import OPPS_DAY, Clock
from tests.support.comments import say, set_status
from tests.support.keys import KEYS
from tests.support.shop import ROOT

TITLES = st.sampled_from(["Opps!", "Sorry & thanks", "“Undisclosed”", "<b>Bold</b>"])
# Two of the same minute, two of one month, one of another year; and a time that the clocks skip in spring.
DATES = st.sampled_from(["2007-10-10 09:41", "2007-10-10 09:41", "2007-10-02", "2008-01-01 00:00", "2007-03-11 02:30"])
TAGS = st.lists(st.sampled_from(["socks", "Socks", "privacy", "pie & cake", "shop"]), max_size=3).map(", ".join)
TEXTS = st.sampled_from(
    [
        "Some words.",
        "See [the dog]({filename}biscuit.md) and [nowhere]({filename}gone.md).",
        "## A heading\n\nWords[^1].\n\n[^1]: A note.\n",
        "![A logo]({static}/images/logo.svg)",
        "[A list]({static}/images/list.txt) and [another]({attach}/images/more.txt).",
    ]
)
STATUSES = st.sampled_from(["published", "published", "published", "draft", "hidden"])
SUMMARIES = st.sampled_from(["", "Summary: In short.\n", "Summary: See [the dog]({filename}biscuit.md).\n"])

HEADS = st.builds("Title: {}\nDate: {}\nTags: {}\nStatus: {}\n{}".format, TITLES, DATES, TAGS, STATUSES, SUMMARIES)


# What a list may ask of a post: its card, or more.
ASKED = st.sampled_from(["", "{{ p.content|safe }}", "{{ p.newer.title }}", "{{ p.related|length }}", "{{ p.url }}"])
TAG_PAGE = ROOT / "theme" / "templates" / "tag.html"


class Editing(RuleBasedStateMachine):
    """Somebody edits a blog while a builder runs and readers comment; now and then it is built from a cold start."""

    template: Path
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "instance").mkdir(parents=True)
        shutil.copy(self.template, self.folder / "instance" / "store.db")
        names = {name: str(self.folder / name) for name in ("instance", "content", "output")}
        environment = {f"UNDISCLOSED_{name.upper()}": path for name, path in names.items()}
        own = load_settings(environment | KEYS)
        self.store = open_store(own)
        self.blog = make_blog(self.folder, own, self.store)
        self.posts = own.content / "posts"
        self.clock = Clock(OPPS_DAY)
        self.builder = Builder(own, self.store, self.folder / "pelicanconf.py")

    def files(self) -> list[Path]:
        return sorted(self.posts.glob("*.md"))

    def built(self, *changed: Path) -> None:
        try:
            self.builder.build(changed=changed or None)
        except BuildRefused as refused:
            # Two posts at one address: nothing may have changed, and the next edit may mend it.
            assert "has the same address" in str(refused)  # noqa: PT017 - the refusal itself is checked
            return
        assert tree(self.blog.output) == self.blog.built_elsewhere()

    @initialize()
    def begin(self) -> None:
        self.built()

    @rule(name=st.sampled_from(["a", "b", "c", "biscuit"]), head=HEADS, text=TEXTS)
    def write(self, name: str, head: str, text: str) -> None:
        file = self.posts / f"{name}.md"
        file.write_text(f"{head}\n{text}\n", encoding="utf-8")
        self.built(file)

    @rule(which=st.integers(0, 9), text=TEXTS)
    def reword(self, which: int, text: str) -> None:
        files = self.files()
        if files:
            file = files[which % len(files)]
            head, _, _ = file.read_text(encoding="utf-8").partition("\n\n")
            file.write_text(f"{head}\n\n{text}\n", encoding="utf-8")
            self.built(file)

    @rule(name=st.sampled_from(["list.txt", "more.txt"]))
    def drop_or_take_a_file(self, name: str) -> None:
        file = self.posts.parent / "images" / name
        if file.exists():
            file.unlink()
        else:
            file.write_text("Socks.", encoding="utf-8")
        self.built()

    @rule(which=st.integers(0, 9), slug=st.sampled_from(["one", "two", "opps"]))
    def rename(self, which: int, slug: str) -> None:
        files = self.files()
        if files:
            file = files[which % len(files)]
            lines = [line for line in file.read_text(encoding="utf-8").split("\n") if not line.startswith("Slug:")]
            file.write_text("\n".join([f"Slug: {slug}", *lines]), encoding="utf-8")
            self.built(file)

    @rule(which=st.integers(0, 9), name=st.sampled_from(["moved", "biscuit"]))
    def move(self, which: int, name: str) -> None:
        files = self.files()
        if files:
            files[which % len(files)].rename(self.posts / f"{name}.md")
            self.built()

    @rule(which=st.integers(0, 9))
    def take_away(self, which: int) -> None:
        files = self.files()
        if files:
            files[which % len(files)].unlink()
            self.built(files[which % len(files)])

    @rule(title=TITLES)
    def retitle_the_page(self, title: str) -> None:
        (self.posts.parent / "pages" / "about.md").write_text(f"Title: {title}\nSlug: about\n\nUs.\n", encoding="utf-8")
        self.built()

    @rule(which=st.integers(0, 9), follows=st.booleans())
    def comment(self, which: int, follows: bool) -> None:  # noqa: FBT001 - drawn
        posts = self.shown()
        if posts:
            say(self.store, "Well, *well*.", post=posts[which % len(posts)], now=self.clock.advance(minutes=7))
            if follows:
                self.blog.follow()
                self.built()

    @rule(which=st.integers(0, 9), status=st.sampled_from(list(CommentStatus)))
    def decide(self, which: int, status: CommentStatus) -> None:
        with self.store.reading() as session:
            comments = [comment for comment, _ in list_comments(session)]
        if comments:
            set_status(self.store, status, comments[which % len(comments)], now=self.clock.advance(minutes=7))
            self.built()

    @rule()
    def start_cold(self) -> None:
        self.builder.close()
        self.built()

    @rule(name=st.sampled_from(["index.html", "2007/10/opps.html", "stranger.html"]))
    def tamper(self, name: str) -> None:
        # What somebody did to the output is put right from a cold start.
        if (self.blog.output / name).parent.exists():
            (self.blog.output / name).write_text("tampered", encoding="utf-8")
            self.builder.close()
            self.built()

    @rule(asks=ASKED)
    def change_the_theme(self, asks: str) -> None:
        # A label's page that shows more of its posts than their cards, or less.
        template = self.folder / "theme" / "templates" / "tag.html"
        more = "{% block footer %}{% for p in articles %}" + asks + "{% endfor %}{% endblock %}"
        template.write_text(TAG_PAGE.read_text(encoding="utf-8") + more, encoding="utf-8")
        self.built()

    def shown(self) -> list[str]:
        pages = [page for page in self.blog.output.glob("2*/*/*.html") if page.name != "index.html"]
        # A page that only leads on from an old address takes no comments.
        pages = [page for page in pages if "http-equiv" not in page.read_text(encoding="utf-8")]
        return sorted(f"/{page.relative_to(self.blog.output)}" for page in pages)

    def teardown(self) -> None:
        self.builder.close()
        self.store.close()


def edit(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Editing,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_whatever_is_edited_a_small_build_makes_what_a_full_one_would(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    Editing.template, Editing.folder = sqlite_template, tmp_path_factory.mktemp("edited")
    edit(examples=3, steps=7)


def test_a_file_that_is_named_is_looked_at_and_the_others_once_somebody_looks_at_all(
    blog: Blog, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = Builder(blog.settings, blog.store, blog.folder / "pelicanconf.py")
    opps, other = blog.write("opps", "Opps"), blog.write("other", "Another")
    builder.build()

    def look(*_: object, **__: object) -> None:
        pytest.fail("nobody else's file has changed")

    opps.write_text(opps.read_text(encoding="utf-8") + "\nWe are sorry.\n", encoding="utf-8")
    with monkeypatch.context() as patched:
        patched.setattr(generators, "scan", look)
        builder.build(changed=[opps])
    assert "We are sorry." in blog.page("2007/10/opps.html")
    assert tree(blog.output) == blog.built_elsewhere()
    # A watcher can miss a file.
    other.write_text(other.read_text(encoding="utf-8") + "\nSo are we.\n", encoding="utf-8")
    builder.build()
    assert "So are we." in blog.page("2007/10/other.html")
    assert tree(blog.output) == blog.built_elsewhere()
    # One that is new, one that went, and what is no post are found whoever is named.
    new = blog.write("new", "A new one")
    builder.build(changed=[new])
    assert tree(blog.output) == blog.built_elsewhere()
    new.unlink()
    builder.build(changed=[new])
    assert tree(blog.output) == blog.built_elsewhere()
    about = blog.settings.content / "pages" / "about.md"
    about.write_text("Title: About us\nSlug: about\n\nTwo of us.\n", encoding="utf-8")
    builder.build(changed=[about])
    assert tree(blog.output) == blog.built_elsewhere()
    builder.close()


def test_a_file_that_two_posts_take_along_stays_with_the_older_and_private_ones_take_nothing(blog: Blog) -> None:
    builder = Builder(blog.settings, blog.store, blog.folder / "pelicanconf.py")
    file = blog.settings.content / "images" / "sizes.txt"
    file.write_text("Small, large.", encoding="utf-8")

    def links_to(address: str, *pages: str) -> None:
        builder.build()
        assert tree(blog.output) == blog.built_elsewhere()
        for page in pages:
            assert f"/{address}" in blog.page(page), page
        assert (blog.output / address).read_text(encoding="utf-8") == "Small, large."

    taking = "Our [sizes]({attach}../images/sizes.txt)."
    post = blog.write("secret", date="2007-03-11", text=taking)
    post.write_text(f"Status: hidden\n{post.read_text(encoding='utf-8')}", encoding="utf-8")
    builder.build()
    secret = next((blog.output / "preview").glob("*/secret.html")).relative_to(blog.output).as_posix()
    links_to("images/sizes.txt", secret)
    blog.write("new", date="2008-01-01", text=taking)
    links_to("2008/01/sizes.txt", secret, "2008/01/new.html")
    older = blog.write("opps", date="2007-10-10", text=taking)
    blog.write("linking", date="2008-02-01", text="The [sizes]({static}../images/sizes.txt).")
    links_to("2007/10/sizes.txt", secret, "2008/01/new.html", "2007/10/opps.html", "2008/02/linking.html")
    older.unlink()
    links_to("2008/01/sizes.txt", secret, "2008/01/new.html", "2008/02/linking.html")
    builder.close()


def test_a_post_whose_text_alone_changes_has_no_list_put_in_order_again(
    blog: Blog, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = Builder(blog.settings, blog.store, blog.folder / "pelicanconf.py")
    post = blog.write("opps", "Opps")
    builder.build()

    def again(*_: object) -> None:
        pytest.fail("the lists are what they were")

    for words in ("We are sorry.", "We are very sorry."):
        post.write_text(post.read_text(encoding="utf-8") + f"\n{words}\n", encoding="utf-8")
        with monkeypatch.context() as patched:
            patched.setattr(PostsGenerator, "_order_posts", again)
            patched.setattr(PostsGenerator, "_make_lists", again)
            builder.build()
        assert words in blog.page("2007/10/opps.html")
        assert tree(blog.output) == blog.built_elsewhere()
    post.write_text(post.read_text(encoding="utf-8").replace("Title: ", "Title: Again: "), encoding="utf-8")
    builder.build()
    assert tree(blog.output) == blog.built_elsewhere()
    builder.close()


def test_a_text_that_changes_changes_no_page_that_does_not_show_it(blog: Blog) -> None:
    builder = Builder(blog.settings, blog.store, blog.folder / "pelicanconf.py")
    for month in range(1, 13):
        blog.write(f"post-{month}", date=f"2008-{month:02}-10", tags="socks, privacy")
    post = blog.write("opps", date="2007-10-10", tags="socks", text="Some words.")
    post.write_text("Summary: We are sorry.\n" + post.read_text(encoding="utf-8"), encoding="utf-8")
    builder.build()

    def made(old: str, new: str) -> set[str]:
        before = {name: (blog.output / name).stat().st_mtime_ns for name in tree(blog.output)}
        post.write_text(post.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        builder.build()
        assert tree(blog.output) == blog.built_elsewhere()
        return {name for name, at in before.items() if (blog.output / name).stat().st_mtime_ns != at}

    # Not the archive, home or the label's page; its feed, where it is one of the newest.
    own = {"2007/10/opps.html", "2007/10/index.html"}
    feeds = {"feeds/posts.atom.xml", "label/socks.atom.xml"}
    assert made("Some words.", "Other words.") == own | feeds
    # From a cold start, too, it is known what every page shows.
    builder.close()
    assert made("Other words.", "Few words.") == own | feeds
    assert made("We are sorry.", "We are very sorry.") >= {"2007/10/opps.html", "label/socks.html"}
    builder.close()


def test_a_link_to_a_page_that_moves_is_another_in_every_list_and_feed(blog: Blog) -> None:
    builder = Builder(blog.settings, blog.store, blog.folder / "pelicanconf.py")
    blog.write("opps", text="We are sorry. [About us]({filename}../pages/about.md).")
    builder.build()
    assert "/about.html" in blog.page("feeds/posts.atom.xml")
    about = blog.settings.content / "pages" / "about.md"
    about.write_text("Title: About us\nSlug: about-us\n\nTwo of us.\n", encoding="utf-8")
    builder.build()
    for page in ("feeds/posts.atom.xml", "2007/10/opps.html", "label/socks.html", "index.html"):
        assert "/about-us.html" in blog.page(page), page
    assert tree(blog.output) == blog.built_elsewhere()
    builder.close()


def test_a_page_shows_the_whole_card_of_posts_like_it_as_it_is(blog: Blog) -> None:
    template = blog.folder / "theme" / "templates" / "article.html"
    template.write_text("{% for p in article.related %}{{ p.title }} {{ p.date|clock }}{% endfor %}", encoding="utf-8")
    builder = Builder(blog.settings, blog.store, blog.folder / "pelicanconf.py")
    older = blog.write("older", "Older", date="2007-10-01 08:00")
    blog.write("between", date="2007-10-05", tags="shop")
    blog.write("newer", date="2007-10-09")
    builder.build()
    assert "Older 8:00 AM" in blog.page("2007/10/newer.html")
    older.write_text(older.read_text(encoding="utf-8").replace("08:00", "10:30"), encoding="utf-8")
    builder.build()
    assert "Older 10:30 AM" in blog.page("2007/10/newer.html")
    assert tree(blog.output) == blog.built_elsewhere()
    builder.close()


def test_a_builder_that_runs_for_weeks_holds_on_to_nothing_of_its_builds(blog: Blog) -> None:
    builder = Builder(blog.settings, blog.store, blog.folder / "pelicanconf.py")
    post = blog.write("opps", tags="socks, shop, privacy")

    def edit(words: str) -> int:
        post.write_text(f"{post.read_text(encoding='utf-8')}\n{words}\n", encoding="utf-8")
        builder.build(changed=[post])
        gc.collect()
        return sum(type(one) in {Page, Static} for one in gc.get_objects())

    for words in ("One.", "Two."):
        edit(words)
    first = edit("Three.")
    assert [edit(f"More {number}.") for number in range(3)][-1] == first
    builder.close()


def test_what_a_plugin_says_that_a_page_depends_on_makes_it_again(blog: Blog) -> None:
    builder = Builder(blog.settings, blog.store, blog.folder / "pelicanconf.py")
    template = blog.folder / "theme" / "templates" / "article.html"
    template.write_text("{{ article.edges }}{{ article.content|safe }}", encoding="utf-8")
    said = ["One"]

    def say_it(generator: PostsGenerator) -> None:
        for article in generator.articles:
            article.edges.append([said[0]])

    signals.article_generator_finalized.connect(say_it)
    try:
        blog.write("opps")
        for words in ("One", "One", "Two"):
            said[0] = words
            builder.build()
            assert f"[[&#39;{words}&#39;]]" in blog.page("2007/10/opps.html")
    finally:
        signals.article_generator_finalized.disconnect(say_it)
        builder.close()


def test_a_list_that_shows_more_than_cards_is_made_again_with_what_it_shows(blog: Blog) -> None:
    template = blog.folder / "theme" / "templates" / "tag.html"
    asked = "{{ p.title }}: {{ p.content|striptags }} {{ p.newer.title if p.newer }} "
    template.write_text("{% for p in articles %}" + asked + "{% endfor %}", encoding="utf-8")
    builder = Builder(blog.settings, blog.store, blog.folder / "pelicanconf.py")
    post = blog.write("opps", "Opps", text="We are sorry.")
    newer = blog.write("newer", "Newer", date="2007-10-12", tags="shop")
    builder.build()
    assert "Opps: We are sorry. Newer" in blog.page("label/socks.html")
    post.write_text(post.read_text(encoding="utf-8").replace("sorry", "very sorry"), encoding="utf-8")
    builder.build(changed=[post])
    assert "Opps: We are very sorry. Newer" in blog.page("label/socks.html")
    newer.write_text(newer.read_text(encoding="utf-8").replace("Title: Newer", "Title: Newest"), encoding="utf-8")
    builder.close()
    builder.build()
    assert "Opps: We are very sorry. Newest" in blog.page("label/socks.html")
    assert tree(blog.output) == blog.built_elsewhere()
    builder.close()


@pytest.mark.slow
def test_whatever_is_edited_for_a_long_time_a_small_build_makes_what_a_full_one_would(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    Editing.template, Editing.folder = sqlite_template, tmp_path_factory.mktemp("edited")
    edit(examples=20, steps=20)
