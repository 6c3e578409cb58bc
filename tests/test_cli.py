"""The command `undisclosed`: exit codes, messages, and where they are printed."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from feedback_app.cli import ShopContext, undisclosed
from feedback_app.customers.models import Frequency, NameDisplay
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY
from tests.support.keys import ADDRESS_KEY, SECRET_KEY
from tests.support.people import ALICE, BOB, welcome
from tests.support.shop import clean_environment


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A runner in a folder without a shop."""
    monkeypatch.chdir(tmp_path)
    for name in ("SECRET_KEY", "ADDRESS_KEY", "STORE_URL", "INSTANCE", "CONTENT", "OUTPUT"):
        monkeypatch.delenv(f"UNDISCLOSED_{name}", raising=False)
    return CliRunner()


@pytest.fixture
def at_the_store(store: Store, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A runner in a shop with a store."""
    assert store.dialect
    monkeypatch.chdir(tmp_path)
    values = {"INSTANCE": str(tmp_path / "instance"), "STORE_URL": store_url}
    for name, value in (values | {"SECRET_KEY": SECRET_KEY, "ADDRESS_KEY": ADDRESS_KEY}).items():
        monkeypatch.setenv(f"UNDISCLOSED_{name}", value)
    return CliRunner()


def run(runner: CliRunner, *arguments: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, standard output and standard error."""
    done = runner.invoke(undisclosed, list(arguments), obj=ShopContext(), prog_name="undisclosed")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Return every command and group, by the words that call it."""
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


undisclosed.import_all()
COMMANDS = [(), *commands(undisclosed)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_and_touches_nothing(
    runner: CliRunner, tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, out, err = run(runner, *words, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("Usage: undisclosed")
    # A sentence follows the usage.
    assert re.search(r"\n\n  [A-Z].*?\.", out, re.DOTALL)
    assert list(tmp_path.iterdir()) == []


def test_every_option_has_a_help_text() -> None:
    for words in COMMANDS:
        command: click.Command = undisclosed
        for word in words:
            assert isinstance(command, click.Group)
            command = command.commands[word]
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, (*words, parameter.name)


@pytest.mark.parametrize(
    "words",
    [
        ("dance",),
        ("--dance",),
        ("audience",),
        ("audience", "socks"),
        ("audience", "news", "more"),
        ("comments", "list", "--status", "loved"),
        ("comments", "approve", "first"),
        ("customers", "import", "some.csv"),
        ("mail", "send"),
        ("serve", "--port", "70000"),
        ("serve", "--port", "http"),
        ("db", "downgrade"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_two_and_touches_nothing(
    runner: CliRunner, tmp_path: Path, words: tuple[str, ...]
) -> None:
    code, out, err = run(runner, *words)
    assert (code, out) == (2, "")
    assert "Usage: undisclosed" in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HOLD_MINUETS", "geheim"),
        ("HOLD_MINUTES", "geheim"),
        ("STORE_URL", "mysql://shop:geheim@host/x"),
        ("SMTP_URL", "smtp://shop:geheim@host"),
        ("ADDRESS_KEY", "geheim"),
        ("SECRET_KEY", "geheim"),
    ],
)
def test_an_unknown_setting_is_refused_in_one_line_that_names_it(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"UNDISCLOSED_{name}", value)
    mailing = Path("mailing.md")
    mailing.write_text("Subject: Socks\nTopic: specials\nSlug: socks\n\nHello.\n", encoding="utf-8")
    command = ("mail", "preview", str(mailing)) if name == "SECRET_KEY" else ("audience", "news")
    code, out, err = run(runner, *command)
    assert (code, out) == (1, "")
    assert err.startswith("undisclosed: ")
    assert f"UNDISCLOSED_{name}" in err or (name == "SECRET_KEY" and "signing key" in err)
    assert err.count("\n") == 1
    assert "geheim" not in err


def test_a_store_that_is_not_a_database_is_refused_in_one_line(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("noise.db").write_bytes(b"This is no database. " * 1000)
    for url in ("sqlite:///noise.db", "postgresql://shop:geheim@/shop?host=/nowhere"):
        monkeypatch.setenv("UNDISCLOSED_STORE_URL", url)
        code, out, err = run(runner, "audience", "news")
        assert (code, out) == (1, "")
        assert err.startswith("undisclosed: ")
        assert err.count("\n") == 1
        assert "geheim" not in err


def test_a_missing_store_is_made_and_its_keys_are_for_their_owner_only(runner: CliRunner) -> None:
    assert run(runner, "audience", "news", "--json") == (0, "[]\n", "")
    assert Path("instance/store.db").exists()
    assert oct(Path("instance/keys/address.key").stat().st_mode & 0o777) == "0o600"


def test_json_is_one_document_and_nothing_else(at_the_store: CliRunner, store: Store) -> None:
    welcome(store, ALICE, now=OPPS_DAY, named=NameDisplay.FIRST, specials=Frequency.EACH)
    welcome(store, BOB, now=OPPS_DAY, specials=Frequency.MONTHLY)
    for words, found in ((("audience", "specials"), 2), (("audience", "news"), 0), (("comments", "list"), 0)):
        code, out, err = run(at_the_store, *words, "--json")
        assert (code, err) == (0, "")
        assert len(json.loads(out)) == found
    code, out, err = run(at_the_store, "mail", "list", "none", "--json")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1


def test_the_audience_lists_addresses_and_names_as_chosen(at_the_store: CliRunner, store: Store) -> None:
    welcome(store, ALICE, now=OPPS_DAY, named=NameDisplay.FIRST, specials=Frequency.EACH)
    welcome(store, BOB, now=OPPS_DAY, specials=Frequency.MONTHLY)
    expected = [{"address": ALICE.address, "name": "Alice"}, {"address": BOB.address, "name": None}]
    assert json.loads(run(at_the_store, "audience", "specials", "--json")[1]) == expected
    assert run(at_the_store, "audience", "specials") == (0, f"{ALICE.address}\tAlice\n{BOB.address}\tundisclosed\n", "")


def test_a_closed_pipe_is_not_a_failure(runner: CliRunner, tmp_path: Path) -> None:
    # More customers than fit into a pipe.
    lines = [f"customer{number}@{'long' * 12}.example" for number in range(2000)]
    Path("crowd.csv").write_text("\n".join(["email", *lines]), encoding="utf-8")
    imported = ("customers", "import", "crowd.csv", "--topic", "news", "--evidence", "Asked in the shop, 2007.")
    assert run(runner, *imported)[0] == 0
    for more in ([], ["--json"]):
        command = [sys.executable, "-m", "feedback_app", "audience", "news", *more]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stdout=pipe, stderr=pipe) as process:
            assert process.stdout
            assert process.stderr
            assert process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
            process.wait(60)


def test_the_version_is_one_line(runner: CliRunner) -> None:
    code, out, err = run(runner, "--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", out)


def test_upgrading_twice_is_the_same_as_once(runner: CliRunner) -> None:
    first, second = run(runner, "db", "upgrade"), run(runner, "db", "upgrade")
    assert (first[0], second[0]) == (0, 0)
    assert "at nothing" in first[1]
    assert "at nothing" not in second[1]
