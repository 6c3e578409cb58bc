"""The output folder: a build removes only what builds have made."""

import pytest

from tests.support.shop import Shop


@pytest.mark.parametrize("output", ["content", "content/posts", ".", "theme", "instance", ".."])
def test_a_build_into_the_shops_own_files_is_refused_and_touches_none(sqlite_shop: Shop, output: str) -> None:
    before = {path for path in sqlite_shop.folder.rglob("*") if "instance" not in path.parts}
    done = sqlite_shop.run("build", expect=1, output=output)
    assert done.stderr.count("\n") == 1
    assert "own files" in done.stderr
    assert {path for path in sqlite_shop.folder.rglob("*") if "instance" not in path.parts} == before


def test_a_folder_with_somebodys_files_in_it_is_left_alone(sqlite_shop: Shop) -> None:
    taxes = sqlite_shop.output / "taxes.txt"
    taxes.parent.mkdir()
    taxes.write_text("1,200", encoding="utf-8")
    assert "no build has made" in sqlite_shop.run("build", expect=1).stderr
    assert taxes.read_text(encoding="utf-8") == "1,200"
    taxes.unlink()
    sqlite_shop.run("build")
    sqlite_shop.run("build", "--full")


def test_an_output_that_cannot_be_made_is_one_line(sqlite_shop: Shop) -> None:
    done = sqlite_shop.run("build", expect=1, output="/proc/nope")
    assert done.stderr.count("\n") == 1


def test_a_second_serve_on_one_instance_is_refused_and_links_still_lead_to_the_first(sqlite_shop: Shop) -> None:
    with sqlite_shop.serving():
        where = (sqlite_shop.instance / "served-at.json").read_text(encoding="utf-8")
        assert "another" in sqlite_shop.run("serve", "--port", "0", expect=1).stderr
        assert (sqlite_shop.instance / "served-at.json").read_text(encoding="utf-8") == where
        assert sqlite_shop.url in where
