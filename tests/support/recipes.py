"""The recipes of CONTRIBUTING.md, followed to the letter in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.shop import ROOT

DOCUMENT = ROOT / "CONTRIBUTING.md"
COPIED = ("feedback_app", "tests", "theme", "content", "docs", "pyproject.toml", "pelicanconf.py", "publishconf.py")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"`([\w.-]+/[\w./-]+)`")
_HUNK = re.compile(r"^@@.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Step:
    """A fenced block of a recipe: its language, the file that the paragraph before it names last, and its text."""

    language: str
    path: str
    text: str


def steps_of(heading: str) -> list[Step]:
    """Return the steps of a recipe, by its heading."""
    document = DOCUMENT.read_text(encoding="utf-8")
    section = re.split(rf"^### {re.escape(heading)}\n", document, flags=re.MULTILINE)[1]
    section = re.split(r"^#{2,3} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    steps = []
    for block in _BLOCK.finditer(section):
        paths = _PATH.findall(section[: block.start()].strip().rpartition("\n\n")[2])
        steps.append(Step(block[1], paths[-1] if paths else "", block[2]))
    return steps


def copy_project(folder: Path) -> None:
    """Copy what a recipe may change into an empty folder, with the same `.venv` to run it."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
        else:
            shutil.copy(source, folder / name)
    (folder / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        (folder / ".venv" / path.name).symlink_to(path)


def follow(heading: str, folder: Path, by_hand: Callable[[Path, str], None] | None = None) -> None:
    """Follow a recipe in a folder that `copy_project` has filled; fail with the output of a command that fails.

    A `python` block is a new file, a `diff` block a change to a file, and an `sh` block is run. Any other block is work
    for a person: `by_hand` does it, with the file and the block's text.
    """
    steps = steps_of(heading)
    assert steps, f"no recipe in {DOCUMENT.name} is called {heading!r}"
    for step in steps:
        file = folder / step.path
        match step.language:
            case "sh":
                _run(step.text, folder)
            case "diff":
                file.write_text(_changed(file.read_text(encoding="utf-8"), step), encoding="utf-8")
            case "python":
                assert not file.exists(), f"{step.path} is there already"
                file.write_text(step.text, encoding="utf-8")
            case _:
                assert by_hand, f"{heading}: nobody knows what to do with a block of {step.language}"
                by_hand(file, step.text)


def _changed(text: str, step: Step) -> str:
    """Return a file's text after a diff without line numbers: each piece has to be found exactly once."""
    text = f"\n{text}"
    for hunk in filter(None, _HUNK.split(step.text)):
        lines = [line if line.strip() else f" {line.lstrip()}" for line in hunk.splitlines(keepends=True)]
        before, after = ("\n" + "".join(line[1:] for line in lines if line[0] in kinds) for kinds in (" -", " +"))
        assert text.count(before) == 1, f"{step.path} has this {text.count(before)} times, not once:{before}"
        text = text.replace(before, after)
    return text.removeprefix("\n")


def _run(commands: str, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "UNDISCLOSED"))}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}{done.stdout}{done.stderr}"
