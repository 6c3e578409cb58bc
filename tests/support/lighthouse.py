"""Lighthouse, which judges a page as a slow phone would load it: a program of npm's, in the tests' browser."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import npm
from tests.support.browser import QUIET, find_browser

# The last that runs on every Node that is kept up; those after it want 22.
PACKAGE = "lighthouse@12.8.2"
FOLDER = Path(sys.prefix) / "lighthouse"
PROGRAM = FOLDER / "node_modules" / "lighthouse" / "cli" / "index.js"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
BROWSER = " ".join(("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", *QUIET))
SECONDS = 120
# How much slower the phone is than this machine. Four, Lighthouse's own figure, is meant for a fast desktop; machines
# with two small cores, as those that run tests are, are half way to the phone.
SLOWER = 2


def find_lighthouse() -> list[str]:
    """The command that judges pages, or nothing where it can't be had."""
    node = shutil.which("node")
    return [node, str(PROGRAM)] if node and PROGRAM.exists() else []


def prepare_lighthouse() -> None:
    """Bring it where it is not there."""
    if not PROGRAM.exists():
        npm.install(PACKAGE, FOLDER)


class NotJudged(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """The browser gave up: what else the machine does left it too little time."""


def judged(url: str, report: Path) -> tuple[dict[str, int], list[str]]:
    """A page's points by category, of 100, and what took some away; `report` is a file for the whole of it.

    Raises NotJudged.
    """
    slow = f"--throttling.cpuSlowdownMultiplier={SLOWER}"
    flags = ["--quiet", slow, "--no-enable-error-reporting", "--output=json", f"--output-path={report}"]
    only = f"--only-categories={','.join(CATEGORIES)}"
    environment = {**os.environ, "CHROME_PATH": find_browser() or ""}
    command = [*find_lighthouse(), url, *flags, only, f"--chrome-flags={BROWSER}"]
    try:
        subprocess.run(command, env=environment, check=True, timeout=SECONDS, capture_output=True)
    except subprocess.SubprocessError as error:
        raise NotJudged(str(getattr(error, "stderr", error))) from error
    said: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    points = {name: round(said["categories"][name]["score"] * 100) for name in CATEGORIES}
    counted = {one["id"] for name in CATEGORIES for one in said["categories"][name]["auditRefs"] if one["weight"]}
    lost = [f"{name}: {said['audits'][name]['score']}" for name in sorted(counted) if _is_lost(said["audits"][name])]
    return points, lost


def _is_lost(audit: dict[str, Any]) -> bool:
    return audit["score"] is not None and bool(audit["score"] < 1)
