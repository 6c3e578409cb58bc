"""`undisclosed publish`: build the site as `publishconf.py` says, check it, and have a command upload it."""

import fcntl
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from runpy import run_path
from typing import Any

from feedback_app import clock
from feedback_app.config import Settings
from feedback_app.db.store import Store
from feedback_app.publishing.builder import BuildReport, build_site
from feedback_app.publishing.content.address_leaks import published_files
from feedback_app.publishing.content.checks import check_files

CONFIGURATION = Path("publishconf.py")
UPLOAD_TIMEOUT_SECONDS = 3600


class DeployFailed(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The site was not uploaded; one line that says why and what to do."""


@dataclass(slots=True)
class DeployReport:
    """What publishing did: the build, what the checks found, the command that uploaded the site, and its seconds."""

    build: BuildReport
    findings: list[str] = field(default_factory=list)
    command: str = ""
    seconds: float = 0.0


def publish(settings: Settings, store: Store, *, anyway: bool = False) -> DeployReport:
    """Build, check and upload the site. If the checks find anything, the site is uploaded only with `anyway`.

    Raises DeployFailed, and BuildRefused and OSError as a build does.
    """
    if not CONFIGURATION.exists():
        message = f"{CONFIGURATION}: there is no such file here: run this in the folder of your shop"
        raise DeployFailed(message)
    _refuse_beside_serve(settings)
    try:
        values = run_path(str(CONFIGURATION))
    except Exception as error:
        message = f"{CONFIGURATION}: {type(error).__name__}: {error}"
        raise DeployFailed(message) from error
    command = _command(values, settings)
    if values.get("SITEURL"):
        settings = settings.at(values["SITEURL"])
    report = DeployReport(build_site(settings, store, configuration=CONFIGURATION))
    report.findings = check_files(published_files(settings.content), settings.content, settings.output, now=clock.now())
    if command and (anyway or not report.findings):
        report.command = command[0]
        started = time.monotonic()
        _run(command)
        report.seconds = time.monotonic() - started
    return report


def _command(values: dict[str, Any], settings: Settings) -> list[str]:
    words = values.get("PUBLISH_COMMAND", [])
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word for word in words):
        message = f'{CONFIGURATION}: PUBLISH_COMMAND is a list of words: ["rsync", "-a", "{{output}}/", "host:site/"]'
        raise DeployFailed(message)
    return [word.replace("{output}", str(settings.output.resolve())) for word in words]


def _refuse_beside_serve(settings: Settings) -> None:
    """Refuse to run beside `serve`: it builds into the same folder, but as `pelicanconf.py` says."""
    try:
        with (settings.instance / "serve.lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return
    except BlockingIOError as error:
        message = f"{settings.instance}: `undisclosed serve` runs here and builds into the same folder: end it first"
        raise DeployFailed(message) from error


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the owner's own command, without a shell
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=UPLOAD_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        message = f"{command[0]} has not ended within an hour: the site is built, but was not uploaded"
        raise DeployFailed(message) from error
    except OSError as error:
        message = f"{command[0]}: {error.strerror}: look at PUBLISH_COMMAND in {CONFIGURATION}"
        raise DeployFailed(message) from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        message = f"{command[0]} ended with {done.returncode}: {lines[-1]}"
        raise DeployFailed(message)
