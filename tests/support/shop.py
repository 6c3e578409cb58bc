"""A shop that runs: a folder of its own, the real commands, the real process tree, reached from outside."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.support.commands import COMMANDS

ROOT = Path(__file__).parents[2]
SECONDS = 60

Answer = TypeVar("Answer")


def wait_for(ask: Callable[[], Answer], what: str, seconds: float = SECONDS) -> Answer:
    """Ask until the answer is true, and give it back; fails by saying what was waited for."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.03)
    return answer


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment without anybody's own settings, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("UNDISCLOSED_")}
    return kept | {f"UNDISCLOSED_{name.upper()}": value for name, value in settings.items()}


@dataclass(slots=True)
class Shop:
    """A folder with a shop in it, and the commands that work there."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    url: str = ""
    extra_environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def at(cls, folder: Path, **settings: str) -> "Shop":
        """A shop with the project's own content and theme."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("content", "theme"):
            shutil.copytree(ROOT / name, folder / name)
        for name in ("pelicanconf.py", "publishconf.py"):
            shutil.copy(ROOT / name, folder)
        return cls(folder, settings)

    @property
    def output(self) -> Path:
        """The built site."""
        return self.folder / "output"

    @property
    def instance(self) -> Path:
        """Store, keys, outbox."""
        return self.folder / "instance"

    def environment(self, **settings: str) -> dict[str, str]:
        """What the shop's commands are started with."""
        return clean_environment(**(self.settings | settings)) | self.extra_environment

    def run(self, *arguments: str, expect: int = 0, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, and check how it ended."""
        done = COMMANDS.run(arguments, folder=self.folder, environment=self.environment(**settings))
        assert done.returncode == expect, f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def json(self, *arguments: str, **settings: str) -> Any:  # noqa: ANN401 - whatever the command prints
        """Run a command and read what it printed."""
        return json.loads(self.run(*arguments, "--json", expect=0, **settings).stdout)

    def letters(self) -> list[bytes]:
        """What lies in the outbox, oldest first."""
        return [path.read_bytes() for path in sorted((self.instance / "outbox").glob("*.eml"))]

    @contextmanager
    def serving(self, **settings: str) -> Iterator["Shop"]:
        """Run `undisclosed serve` on a port of the kernel's choice until the end of the `with`."""
        log = self.folder / "serve.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "feedback_app", "serve", "--port", "0"],
                cwd=self.folder,
                env=self.environment(**settings),
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self.url = wait_for(lambda: _address(log, process), "the shop to say where it is") or ""
            wait_for(self.healthy, "the shop to be healthy")
            yield self
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise

    def healthy(self) -> bool:
        """Whether everything is up."""
        try:
            with urllib.request.urlopen(f"{self.url}/feedback/health", timeout=5) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def get(self, path: str) -> str:
        """A page of the running shop."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:  # noqa: S310 - our own
            return str(answer.read().decode())

    def files(self) -> dict[str, bytes]:
        """The whole site, file by file; without the search index, which may lag."""
        return {
            str(path.relative_to(self.output)): path.read_bytes()
            for path in sorted(self.output.rglob("*"))
            if path.is_file() and "pagefind" not in path.parts
        }


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str | None:
    said = log.read_text(encoding="utf-8", errors="replace")
    assert process.poll() is None, f"the shop ended: {said}"
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    return found.group() if found else None


def gather(shop: Shop, *addresses: str) -> None:
    """Customers who want the specials."""
    file = shop.folder / "customers.csv"
    file.write_text("\n".join(["email", *addresses]) + "\n", encoding="utf-8")
    shop.run("customers", "import", str(file), "--topic", "specials", "--evidence", "paper list, 2007")
