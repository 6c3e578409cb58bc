"""Before the tests: a browser, PostgreSQL, Redis and what judges pages, of the system or brought where they are not."""

import os
import shutil
import subprocess
import sys

from tests.support.browser import find_browser
from tests.support.lighthouse import prepare_lighthouse
from tests.support.postgres import find_postgres
from tests.support.redis import get_redis
from tests.support.vnu import prepare_checker


def main() -> None:
    """Look, install, look again; say what was found."""
    if not find_browser():
        _install_browser()
    browser = find_browser()
    if not browser:
        sys.exit("There is no Chromium, and none could be installed: install it and run this again.")
    if not get_redis():
        _install("redis-server")
    if not get_redis():
        sys.exit("There is no redis-server, and none could be installed: install it and run this again.")
    prepare_checker()
    prepare_lighthouse()
    print(f"browser: {browser}; PostgreSQL: {find_postgres()}; Redis: {get_redis()}")  # noqa: T201 - this is what it is for


def _install(*packages: str) -> None:
    if os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(["apt-get", "install", "-y", "-qq", *packages], check=False, **quiet)  # type: ignore[call-overload]


def _install_browser() -> None:
    _install("chromium")
    if not find_browser():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


if __name__ == "__main__":
    main()
