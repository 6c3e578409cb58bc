"""The production files: what they start exists, and the web server sends the app's headers."""

import shlex
from configparser import ConfigParser
from pathlib import Path

import click
import pytest

from feedback_app.cli import undisclosed
from feedback_app.web.headers import HEADERS
from feedback_app.web.site_files import SEARCH_POLICY
from tests.support.shop import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted(path.name for path in DEPLOY.glob("undisclosed-*"))


def unit(name: str) -> ConfigParser:
    """Parse a systemd unit."""
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((DEPLOY / name).read_text(encoding="utf-8"))
    return parser


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_what_a_service_starts_exists(name: str) -> None:
    service = unit(name)["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program.startswith(f"{service['WorkingDirectory']}/.venv/bin/")
    assert service["User"] == "shop"
    assert service["NoNewPrivileges"] == "true"
    if Path(program).name == "undisclosed":
        undisclosed.import_all()
        command: click.Command = undisclosed
        for word in words:
            if word.startswith("--"):
                assert any(word in option.opts for option in command.params)
                continue
            assert isinstance(command, click.Group)
            assert word in command.commands
            command = command.commands[word]
    else:
        assert {"feedback_app.wsgi:app", "pagefind"} & set(words)


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".timer")])
def test_every_timer_has_its_service(name: str) -> None:
    assert unit(name)["Timer"]["OnUnitInactiveSec"].isdigit()
    assert name.replace(".timer", ".service") in UNITS


def test_the_web_server_sends_the_apps_headers() -> None:
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    depth = 0
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        depth += words[-1:] == ["{"]
        depth -= words == ["}"]
        assert depth >= 0
    assert depth == 0
    for name, value in HEADERS.items():
        if name != "Referrer-Policy":
            assert f'{name} "{value}"' in text
    assert SEARCH_POLICY in text


def test_the_production_page_names_every_file() -> None:
    text = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
    for name in UNITS:
        assert name in text or name.replace(".timer", ".service") in text
