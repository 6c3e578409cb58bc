"""The commands: what they say, how they end, and what they write."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from feedback_app.cli import undisclosed
from feedback_app.console import Context
from feedback_app.db.store import Store
from tests.support.comments import OPPS, publish, say
from tests.support.keys import ADDRESS_KEY, SECRET_KEY
from tests.support.shop import ROOT

EXPORTS = Path(__file__).parent / "exports"


@pytest.fixture
def shop_of_one(sqlite_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A shop's folder, and its store."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "content" / "posts").mkdir(parents=True)
    (tmp_path / "pelicanconf.py").write_bytes((ROOT / "pelicanconf.py").read_bytes())
    for name, value in {
        "INSTANCE": str(tmp_path / "one"),
        "SECRET_KEY": SECRET_KEY,
        "ADDRESS_KEY": ADDRESS_KEY,
    }.items():
        monkeypatch.setenv(f"UNDISCLOSED_{name}", value)
    publish(sqlite_store, OPPS)
    return sqlite_store


def run(*arguments: str) -> Result:
    done = CliRunner().invoke(undisclosed, list(arguments), obj=Context(), prog_name="undisclosed")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_an_import_says_in_numbers_what_it_did_and_what_it_did_not(shop_of_one: Store) -> None:
    assert shop_of_one
    done = run("comments", "import", str(EXPORTS / "disqus.xml"))
    assert done.exit_code == 3
    assert done.stdout.splitlines() == [
        "disqus: 4 comments added (1 of them waits for you), 0 already here, 3 left out.",
        "  1 answer stands on its own: what it answers did not come over.",
        "  1 left out: spam there (1004)",
        "  1 left out: deleted there (1005)",
        "  1 left out: no post here has the address of its post (https://mongrelsocks.example/2001/01/gone.html)",
        "  1 e-mail address stayed behind: nobody has agreed to it being here.",
        "  1 network address stayed behind: nobody has agreed to it being here.",
    ]
    again = json.loads(run("comments", "import", str(EXPORTS / "disqus.xml"), "--json").stdout)
    assert (again["added"], again["known"], again["left_out"]) == (0, 4, 3)
    assert "nora@" not in done.output
    assert done.stderr.startswith("undisclosed: did not come over: 1;")


def test_a_dry_run_says_what_the_import_then_does(shop_of_one: Store) -> None:
    assert shop_of_one
    dry = run("comments", "import", str(EXPORTS / "disqus.xml"), "--dry-run")
    done = run("comments", "import", str(EXPORTS / "disqus.xml"))
    assert dry.stdout.replace("would be added", "added") == done.stdout
    assert (dry.exit_code, dry.stderr) == (done.exit_code, done.stderr)


def test_an_import_of_which_only_spam_and_what_was_deleted_stays_behind_needs_nobody(
    shop_of_one: Store, tmp_path: Path
) -> None:
    assert shop_of_one
    whole = (EXPORTS / "disqus.xml").read_text()
    path = tmp_path / "all.xml"
    path.write_text(
        whole.replace("https://mongrelsocks.example/2001/01/gone.html", f"https://mongrelsocks.example{OPPS.path}")
    )
    done = run("comments", "import", str(path))
    assert (done.exit_code, done.stderr) == (0, "")
    assert "2 left out." in done.stdout
    assert "left out: spam there (1004)" in done.stdout


def test_a_name_that_is_cut_is_said(shop_of_one: Store, tmp_path: Path) -> None:
    assert shop_of_one
    path = tmp_path / "long.xml"
    path.write_text((EXPORTS / "disqus.xml").read_text().replace("<name>Nora</name>", f"<name>{'N' * 81}</name>", 1))
    for more in (["--dry-run"], []):
        done = run("comments", "import", str(path), *more)
        assert "  1 name was longer than 80 letters and is cut." in done.stdout.splitlines()
    assert json.loads(run("comments", "import", str(path), "--json").stdout)["names_cut"] == 0


def test_a_file_that_is_not_there_or_is_none_is_refused_in_one_line(shop_of_one: Store, tmp_path: Path) -> None:
    assert shop_of_one
    for command in (("comments", "import"), ("post", "import")):
        done = run(*command, str(tmp_path / "nowhere.xml"))
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == f"undisclosed: {tmp_path / 'nowhere.xml'}: No such file or directory\n"


def test_posts_come_over_and_the_report_says_what_needs_somebody(shop_of_one: Store, tmp_path: Path) -> None:
    assert shop_of_one
    done = run("post", "import", str(EXPORTS / "wordpress.xml"))
    assert done.exit_code == 3
    assert done.stdout.splitlines()[0] == (
        "wordpress: 2 posts written (1 draft), 0 there already, 1 old address leads to them, 1 left out."
    )
    assert len(list((tmp_path / "content" / "posts").iterdir())) == 2
    assert json.loads(run("post", "import", str(EXPORTS / "wordpress.xml"), "--json").stdout)["known"] == 2


def test_an_export_is_one_document_without_an_address_and_overwrites_nothing(
    shop_of_one: Store, tmp_path: Path
) -> None:
    say(shop_of_one, "Use Bcc, friends.", address="nora@example.com")
    done = run("comments", "export", "all.json")
    assert done.stdout == "all.json: 1 comment.\n"
    document = json.loads((tmp_path / "all.json").read_bytes())
    [comment] = document["comments"]
    assert (comment["post"], comment["author"], comment["text"]) == (OPPS.path, "Nora", "Use Bcc, friends.")
    assert json.loads(run("comments", "export").stdout) == document
    refused = run("comments", "export", "all.json")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "undisclosed: all.json: there is a file of this name already: name another\n",
    )
    xml = run("comments", "export", "--format", "disqus").stdout
    assert "Use Bcc" in xml
    assert "nora@" not in xml + json.dumps(document)
