"""Pictures: dropped beside a post, they become every size that a browser wants, without what the camera wrote."""

import re
import struct
import zlib
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from PIL import Image

from feedback_app.images.pictures import make_files
from feedback_app.publishing.builder import BuildRefused
from tests.support.blog import Blog, tree
from tests.support.databases import SQLITE
from tests.support.photographs import photograph


@pytest.fixture(params=[SQLITE])
def backend(request: pytest.FixtureRequest) -> str:
    """One database is enough here."""
    return str(request.param)


def beside(blog: Blog, name: str) -> Path:
    """A file beside the posts."""
    return blog.settings.content / "posts" / name


def test_a_picture_beside_its_post_gets_sizes_dimensions_and_modern_formats(blog: Blog) -> None:
    photograph(beside(blog, "Our Heel.jpg"), "GPS and all", size=(1600, 1200))
    blog.write("heel", text="![A heel](Our%20Heel.jpg)")
    blog.build()
    soup = BeautifulSoup(blog.page("2007/10/heel.html"), "html5lib")
    (picture,) = soup.select("main picture")
    (image,) = picture.select("img")
    assert (image["width"], image["height"], image["alt"]) == ("1600", "1200", "A heel")
    assert [source["type"] for source in picture.select("source")] == ["image/avif", "image/webp"]
    named = re.findall(r"/(pictures/[\w-]+\.\w+)(?: (\d+)w)?", str(picture))
    assert {int(width) for _, width in named if width} == {480, 960, 1440}
    for name, width in named:
        with Image.open(blog.output / name) as shown:
            assert not shown.getexif()
            assert not width or shown.width == int(width)
    assert soup.select_one('meta[property="og:image"]') is not None
    assert tree(blog.output) == blog.built_elsewhere()


def test_pictures_are_made_once(blog: Blog, tmp_path: Path) -> None:
    photograph(tmp_path / "heel.jpg")
    made, folder = make_files(tmp_path / "heel.jpg", tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again, _ = make_files(tmp_path / "heel.jpg", tmp_path / "cache")
    assert made == again
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert (made.width, made.height) == (64, 48)
    assert not blog.output.exists()


@pytest.mark.parametrize("name", ["camera.jpg", "camera.png", "camera.webp"])
def test_what_the_camera_wrote_is_in_no_published_picture(blog: Blog, name: str) -> None:
    photograph(blog.settings.content / "images" / name, "taken at home")
    blog.build()
    data = (blog.output / "images" / name).read_bytes()
    assert b"taken at home" not in data
    with Image.open(blog.output / "images" / name) as shown:
        assert not shown.getexif()
        assert shown.size == (64, 48)


def test_a_picture_that_the_camera_turned_is_published_upright(blog: Blog) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 40), "teal").save(beside(blog, "turned.jpg"), exif=exif)
    blog.write("heel", text="![A heel](turned.jpg)")
    blog.build()
    assert 'width="40" height="80"' in blog.page("2007/10/heel.html").replace(
        'height="80" width="40"', 'width="40" height="80"'
    )


def bomb() -> bytes:
    """A PNG of a few hundred bytes that says it is 40,000 pixels wide and high."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b"\0" * 99))]
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("what", "says"),
    [(b"GIF89a, or so it says", "not a picture"), (b"", "not a picture"), (bomb(), "million pixels|too large")],
)
def test_a_picture_that_is_none_or_far_too_large_is_refused_in_one_line(blog: Blog, what: bytes, says: str) -> None:
    blog.build()
    before = tree(blog.output)
    beside(blog, "heel.png").write_bytes(what)
    blog.write("heel", text="![A heel](heel.png)")
    with pytest.raises(BuildRefused, match=says) as refused:
        blog.build()
    assert len(str(refused.value).splitlines()) == 1
    assert re.match(r"\S+/posts/heel\.md:8: \S+/posts/heel\.png: ", str(refused.value))
    assert tree(blog.output) == before


def test_the_feed_names_every_picture_in_full(blog: Blog) -> None:
    photograph(beside(blog, "heel.jpg"))
    blog.write("heel", text="![A heel](heel.jpg)")
    blog.build()
    feed = blog.page("feeds/posts.atom.xml")
    assert "http://127.0.0.1:8000/pictures/heel-" in feed
    assert '"/pictures/' not in feed.replace("&quot;", '"')
