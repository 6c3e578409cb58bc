"""Before the tests: a browser and PostgreSQL, from the system where they are there, installed where they are not."""

import os
import shutil
import subprocess
import sys

from tests.support.browser import find_browser
from tests.support.postgres import find_postgres


def main() -> None:
    """Look, install, look again; say what was found."""
    if not find_browser():
        _install_browser()
    browser = find_browser()
    if not browser:
        sys.exit("There is no Chromium, and none could be installed: install it and run this again.")
    print(f"browser: {browser}; PostgreSQL: {find_postgres()}")  # noqa: T201 - this is what it is for


def _install_browser() -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=False, **quiet)  # type: ignore[call-overload]
    if not find_browser():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


if __name__ == "__main__":
    main()
