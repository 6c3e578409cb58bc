"""PostgreSQL's own programs: they make a dump, and read one from end to end. A password is never an argument."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL

INSTALLED = Path("/usr/lib/postgresql")
SECRETS = {"password", "sslpassword"}
_COPY = re.compile(rb"COPY (?:\w+\.)?(\w+) \((\w+(?:, \w+)*)\) FROM stdin;\n")
_SETVAL = re.compile(rb"SELECT pg_catalog\.setval\('(?:\w+\.)?(\w+)', (\d+), true\);\n")


class DumpProblem(Exception):  # noqa: N818 - a problem with a dump, told to the owner in one line
    """A dump can't be made or read; one line that says why."""


def make_dump(url: URL, target: Path) -> None:
    """Write everything in a database into a file, in the custom format. Raises DumpProblem."""
    wanted = {**url.query, **url.translate_connect_args(database="dbname", username="user")}
    where = make_conninfo("", **{name: value for name, value in wanted.items() if name not in SECRETS})
    environment = os.environ | ({"PGPASSWORD": str(wanted["password"])} if wanted.get("password") else {})
    options = ("--format=custom", "--no-owner", "--no-privileges", "--no-password")
    command = [_program("pg_dump"), *options, f"--file={target.absolute()}", f"--dbname={where}"]
    with tempfile.TemporaryFile() as errors:
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stderr=errors, check=False)  # noqa: S603 - our own arguments
        if done.returncode:
            raise DumpProblem(_reason("pg_dump", errors))


def dumped_rows(file: Path, table: str | None = None) -> Iterator[tuple[str, str, bytes]]:
    """Every row of a dump, or of one of its tables: the table, its columns, the line that COPY takes.

    A sequence comes as a row without columns. Raises DumpProblem when the dump is damaged.
    """
    head: tuple[str, str] | None = None
    for line in _lines(file, table):
        if head is not None:
            if line == b"\\.\n":
                head = None
            else:
                yield *head, line
        elif found := _COPY.fullmatch(line):
            head = found[1].decode(), found[2].decode()
        elif line.startswith(b"COPY "):
            message = "there is a table in it that is not a store's"
            raise DumpProblem(message)
        elif found := _SETVAL.fullmatch(line):
            yield found[1].decode(), "", found[2]


def _lines(file: Path, table: str | None) -> Iterator[bytes]:
    chosen = [f"--table={table}"] if table else []
    command = [_program("pg_restore"), "--data-only", *chosen, "--file=-", str(file.absolute())]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors) as process,  # noqa: S603 - our own arguments
    ):
        yield from process.stdout or ()
        if process.wait():
            raise DumpProblem(_reason("pg_restore", errors))


def _program(name: str) -> str:
    """Where a program is: on the PATH, else the newest that the system has."""
    if found := shutil.which(name):
        return found
    places = [place / name for place in INSTALLED.glob("*/bin") if (place / name).exists()]
    if not places:
        message = f"{name} is not here: install PostgreSQL's client programs (on Debian: postgresql-client)"
        raise DumpProblem(message)
    return str(max(places, key=lambda place: float(place.parts[-3])))


def _reason(program: str, errors: IO[bytes]) -> str:
    errors.seek(0)
    said = errors.read(10_000).decode(errors="replace").strip().splitlines()
    first = said[0].removeprefix(f"{program}: ").removeprefix("error: ") if said else "it said nothing"
    return f"{program} failed: {first}"
