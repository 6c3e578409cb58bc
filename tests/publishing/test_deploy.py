"""`undisclosed publish`: builds for the public, checks, and hands the site to whoever takes it away."""

import gzip
import json
import sys

from tests.support.shop import Shop

TAKE = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"


def hand_to(shop: Shop, *command: str) -> None:
    with (shop.folder / "publishconf.py").open("a", encoding="utf-8") as file:
        file.write(f"\nSITEURL = 'https://socks.example'\nPUBLISH_COMMAND = {list(command)!r}\n")


def test_the_site_is_built_for_the_public_checked_compressed_and_taken_away(sqlite_shop: Shop) -> None:
    there = sqlite_shop.folder / "there"
    hand_to(sqlite_shop, sys.executable, "-c", TAKE, "{output}", str(there))
    first = sqlite_shop.json("publish")
    assert first["handed_to"] == sys.executable
    assert first["found"] == []
    home = (there / "index.html").read_bytes()
    assert b'<link rel="canonical" href="https://socks.example/">' in home
    assert gzip.decompress((there / "index.html.gz").read_bytes()) == home
    assert not list(there.rglob("*.gz.gz"))
    pages = {path for path in there.rglob("*.html") if path.stat().st_size > 1024}
    assert {path for path in pages if not path.with_name(path.name + ".gz").exists()} == set()


def test_a_site_that_needs_somebody_is_not_handed_over_until_it_is_said(sqlite_shop: Shop) -> None:
    there = sqlite_shop.folder / "there"
    hand_to(sqlite_shop, sys.executable, "-c", TAKE, "{output}", str(there))
    post = sqlite_shop.folder / "content" / "posts" / "2007-10-10-opps.md"
    with post.open("a", encoding="utf-8") as file:
        file.write("\n[Nowhere](/nowhere.html)\n")
    done = sqlite_shop.run("publish", expect=3)
    assert "content/posts/2007-10-10-opps.md:" in done.stdout
    assert "handed to nobody" in done.stderr
    assert not there.exists()
    done = sqlite_shop.run("publish", "--anyway", "--json", expect=3)
    assert len(json.loads(done.stdout)["found"]) == 1
    assert (there / "2007" / "10" / "opps.html").exists()


def test_a_command_that_fails_is_one_line_and_no_shell_reads_it(sqlite_shop: Shop) -> None:
    hand_to(sqlite_shop, sys.executable, "-c", "import sys; sys.exit(sys.argv[1])", "no $(room) ; there")
    done = sqlite_shop.run("publish", expect=1)
    assert done.stderr.count("\n") == 1
    assert "no $(room) ; there" in done.stderr
    assert (sqlite_shop.output / "index.html").exists()
