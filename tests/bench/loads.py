"""The peers of the benchmarks, from the package registries alone: a load generator, a static server, and Isso."""

import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.shop import clean_environment

SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
CONNECTIONS = 16
LATENCY = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", re.MULTILINE)
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did under load.

    Answers a second; milliseconds to an answer, half of them and 99 of 100; megabytes; milliseconds of a processor for
    an answer, which a busy machine changes least; answers that were none; and how much of a processor the load
    generator itself took meanwhile.
    """

    rate: float
    half: float
    slowest: float
    memory: float
    work: float
    bad: int
    generator: float

    def __str__(self) -> str:
        """The figures, as they are printed."""
        bad = f", {self.bad} refused or broken" if self.bad else ""
        times = f"p50 {self.half:.1f} ms, p99 {self.slowest:.1f} ms"
        work = f"{self.work:.2f} ms of work each, {self.memory:.0f} MB"
        return f"{self.rate:,.0f} a second, {times}, {work}{bad}; load generator at {self.generator:.0%} of a processor"


def install(*programs: tuple[str, str]) -> None:
    """Have the system's package manager install what is not there, each given as program and package."""
    missing = [package for program, package in programs if not shutil.which(program)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(["apt-get", "install", "-y", "-qq", *missing], check=True, **quiet)  # type: ignore[call-overload]
    for program, package in programs:
        if not shutil.which(program):
            sys.exit(f"{program} is not here, and can't be installed: install the package {package} and run this again")


def environment_with(folder: Path, *packages: str) -> Path:
    """An environment of its own with some packages, made once; returns its folder of programs."""
    programs = folder / "bin"
    if not programs.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "-q", *packages], check=True)
    return programs


def free_port() -> int:
    """A port of the kernel's choice."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, folder: Path, **environment: str) -> Iterator[int]:
    """A server, until the end of the `with`; its process' number."""
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=clean_environment() | environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        sys.exit(f"{command[0]} does not start: {(folder / 'server.log').read_text()[-2000:]}")
                    time.sleep(0.1)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def load(url: str, server: int, script: Path | None = None, seconds: int = SECONDS) -> Load:
    """Put a server under load, after a moment of warming up."""
    lua = ["-s", str(script)] if script else []
    _wait_for_an_answer(url)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "--latency", *lua]
    subprocess.run([*command, "-d1", url], check=True, capture_output=True)
    before, generator = _work_of(server), _work_of_children()
    said = subprocess.run([*command, f"-d{seconds}", url], check=True, capture_output=True, text=True).stdout
    work, generator = _work_of(server) - before, _work_of_children() - generator
    times = {found[1]: float(found[2]) * MILLISECONDS[found[3]] for found in LATENCY.finditer(said)}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    bad = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", said))
    bad += sum(int(number) for number in re.findall(r"(?:read|write|timeout) (\d+)", said))
    answers = re.search(r"(\d+) requests in", said)
    each = work * 1000 / max(1, int(answers[1]) if answers else 1)
    rate_ = float(rate[1]) if rate else 0.0
    slow = times.get("50", 0), times.get("99", 0)
    return Load(rate_, *slow, memory_of(server), each, bad, generator / seconds)


def _work_of_children() -> float:
    """Seconds of a processor that the programs have had which were run and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait_for_an_answer(url: str) -> None:
    """A server may take connections long before it can answer."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=60):  # noqa: S310 - our own
                return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(0.1)


def memory_of(server: int) -> float:
    """The memory of a process and its children, in megabytes: what each has for itself, and its share of the rest."""
    rollups = [_read(f"/proc/{number}/smaps_rollup") for number in _family(server)]
    return sum(int(found[1]) for text in rollups if (found := re.search(r"(?m)^Pss:\s+(\d+)", text))) / 1024


def _work_of(server: int) -> float:
    """Seconds of a processor that a process and its children have had."""
    fields = [_read(f"/proc/{number}/stat").rpartition(")")[2].split() for number in _family(server)]
    return sum(int(one[11]) + int(one[12]) for one in fields if one) / os.sysconf("SC_CLK_TCK")


def _family(server: int) -> list[int]:
    family, waiting = [], [server]
    while waiting:
        number = waiting.pop()
        family.append(number)
        for task in Path(f"/proc/{number}/task").glob("*"):
            waiting += map(int, _read(f"{task}/children").split())
    return family


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
