"""Comments' figures: posting and reading, beside Isso and a static server, in one run on one machine.

Posting is the whole way: form, token against forgery, spam checks, a durable commit, and only then the answer. Limits
and the form's time trap are off on both sides, because one load generator is one network.
"""

import getpass
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Flask

from feedback_app.app import create_app
from feedback_app.comments.posting import post_comment, prepare_text
from feedback_app.comments.spam.verdicts import Evidence, Rules
from feedback_app.comments.threads.public_comments import approved_comments
from feedback_app.comments.threads.registry import Post, find_thread, register_posts
from feedback_app.comments.threads.renderer import SiteInfo
from feedback_app.config import Moderation, load_settings
from feedback_app.db.setup import open_store
from feedback_app.publishing.live.update import pieces_of
from tests.bench.loads import Load, environment_with, free_port, install, load, running
from tests.support.postgres import Postgres, running_postgres

ROOT = Path(__file__).parents[2]
PATH = "/2007/10/opps.html"
SITE = "http://127.0.0.1:8000"
READ = 20
WORDS = "Odd pairs are pairs: use *Bcc*, friends, and [read](https://example.com/) about it before you send. " * 3
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
# A server, its processes x threads, and the store where it is not SQLite: "work each" is then without the database's.
SERVERS = os.environ.get(
    "BENCH_SERVERS",
    "granian 1x4,granian 2x1,granian 2x2,granian 3x1,gunicorn 2x1,gunicorn 2x4,waitress 1x4,granian 2x1 PostgreSQL",
)
# What posting and reading are to be beside Isso, in the same run; milliseconds.
POSTS_AIM, READS_AIM, SLOWEST_AIM = 3, 250, 50.0
# Every request has words of its own: the same ones would be the same form sent twice.
POST_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.headers["Cookie"] = "undisclosed={cookie}"
local number = math.floor({seed} * 10000000)
request = function()
  number = number + 1
  return wrk.format(nil, nil, nil, "{fields}&body=Number+" .. number .. ".+{words}")
end
"""
ISSO_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local number = math.floor({seed} * 10000000)
request = function()
  number = number + 1
  return wrk.format(nil, nil, nil, '{{"author": "Nora", "title": "Opps!", "text": "Number ' .. number .. '. {words}"}}')
end
"""
ISSO_CONF = """
[general]
dbpath = {folder}/isso.db
host = {site}
[moderation]
enabled = false
[guard]
enabled = false
[server]
public-endpoint = {site}
"""
NGINX_CONF = """
user {user}; worker_processes 2; daemon off; error_log stderr; pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  include /etc/nginx/mime.types; access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; root {folder}/site; }}
}}
"""


def main() -> None:
    """Measure; every figure is the median of so many rounds, of which each has both sides in turn."""
    install(("wrk", "wrk"), ("nginx", "nginx-light"))
    where = Path(os.environ.get("BENCH_FOLDER", ROOT / ".venv" / "bench"))
    where.mkdir(parents=True, exist_ok=True)
    peers = environment_with(where / "isso", "isso", "gunicorn")
    ours = environment_with(where / "servers", "gunicorn", "waitress")
    with tempfile.TemporaryDirectory(dir=where) as name, _postgres() as server:
        folder = Path(name)
        _posts(folder, peers, ours, server)
        _reads(folder, peers)


@contextmanager
def _postgres() -> Iterator[Postgres | None]:
    """A database server, if one is asked for."""
    if "PostgreSQL" not in SERVERS:
        yield None
        return
    with running_postgres() as server:
        yield server


def _posts(folder: Path, peers: Path, ours: Path, postgres: Postgres | None) -> None:
    """Isso right before and right after each of ours: a machine is not as quick in one minute as in another."""
    found: dict[str, list[Load]] = {}
    times: dict[str, list[float]] = {}
    before = _isso_posts(folder, peers)
    found["Isso"] = [before]
    for round_ in range(ROUNDS):
        for kind in SERVERS.split(","):
            asked = postgres is not None and kind.endswith("PostgreSQL")
            url = postgres.create(f"comments{round_}") if postgres and asked else ""
            with _app(folder / f"{kind}{round_}", kind, ours, url) as (server, port, script):
                url = f"http://127.0.0.1:{port}/feedback/comments/new?post={PATH}"
                one = load(url, server, script)
            after = _isso_posts(folder, peers)
            found.setdefault(kind, []).append(one)
            times.setdefault(kind, []).append(2 * one.rate / (before.rate + after.rate))
            found["Isso"].append(after)
            before = after
    for name, loads in found.items():
        _say(f"posts, {name}: {_middle(loads)}; rounds {_all(loads)}")
    for name, ratios in times.items():
        _say(f"posts, {name}: {median(ratios):.2f} times Isso's ({min(ratios):.2f} to {max(ratios):.2f})")
    best = max(times, key=lambda name: median(times[name]))
    slowest = _middle(found[best]).slowest
    _aim(median(times[best]), POSTS_AIM, "Isso's posts")
    _say(f"aim: p99 below {SLOWEST_AIM:.0f} ms: {slowest:.1f} ms: {_reached(slowest < SLOWEST_AIM)}")


def _isso_posts(folder: Path, peers: Path) -> Load:
    with tempfile.TemporaryDirectory(dir=folder) as name, _isso(Path(name), peers) as (server, port):
        script = _script(folder, ISSO_LUA, seed=1, words=WORDS)
        return load(f"http://127.0.0.1:{port}/new?uri={PATH}", server, script)


def _reads(folder: Path, peers: Path) -> None:
    found: dict[str, list[Load]] = {}
    _bake(folder / "site")
    for round_ in range(ROUNDS):
        with _isso(folder / f"read{round_}", peers) as (server, port):
            _fill_isso(folder / f"read{round_}" / "isso.db")
            found.setdefault("Isso", []).append(load(f"http://127.0.0.1:{port}/?uri={PATH}", server))
        port = free_port()
        (folder / "nginx.conf").write_text(
            NGINX_CONF.format(folder=folder, port=port, user=getpass.getuser()), encoding="utf-8"
        )
        command = [
            shutil.which("nginx") or "nginx",
            "-e",
            "stderr",
            "-c",
            str(folder / "nginx.conf"),
            "-p",
            str(folder),
        ]
        with running(command, port, folder) as server:
            found.setdefault("nginx, the baked page", []).append(load(f"http://127.0.0.1:{port}{PATH}", server))
    isso = _middle(found["Isso"]).rate
    for name, loads in found.items():
        middle = _middle(loads)
        _say(f"reads of {READ} comments, {name}: {middle} ({middle.rate / isso:.0f} times Isso's; {_all(loads)})")
    _aim(_middle(found["nginx, the baked page"]).rate / isso, READS_AIM, "Isso's thread reads")


@contextmanager
def _isso(folder: Path, peers: Path) -> Iterator[tuple[int, int]]:
    folder.mkdir(exist_ok=True)
    port = free_port()
    configuration = folder / "isso.cfg"
    configuration.write_text(ISSO_CONF.format(folder=folder, site=f"http://127.0.0.1:{port}"), encoding="utf-8")
    command = [str(peers / "gunicorn"), "-b", f"127.0.0.1:{port}", "-w", "2", "--preload", "isso.run"]
    with running(command, port, folder, ISSO_SETTINGS=str(configuration)) as server:
        yield server, port


def _fill_isso(path: Path) -> None:
    import sqlite3  # noqa: PLC0415 - only here
    from contextlib import closing  # noqa: PLC0415 - only here

    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO threads VALUES (1, ?, 'Opps!')", (PATH,))
        columns = "tid, created, mode, remote_addr, text, author, likes, dislikes, voters, notification"
        database.executemany(
            f"INSERT INTO comments ({columns}) VALUES (1, ?, 1, '127.0.0.0', ?, ?, 0, 0, x'00', 0)",  # noqa: S608 - ours
            [(1192024800.0 + step, f"Number {step}. {WORDS}", f"Reader {step}") for step in range(READ)],
        )


@contextmanager
def _app(folder: Path, kind: str, ours: Path, store_url: str = "") -> Iterator[tuple[int, int, Path]]:
    """The app on a fresh store, under a server of this kind: its name, and processes x threads."""
    values = {"UNDISCLOSED_INSTANCE": str(folder), "UNDISCLOSED_RATE_LIMITS": "off", "UNDISCLOSED_SITE_URL": SITE}
    values |= {"UNDISCLOSED_STORE_URL": store_url} if store_url else {}
    settings = load_settings(values)
    store = open_store(settings)
    with store.writing() as session:
        register_posts(session, [Post(PATH, "Opps!", datetime(2007, 10, 10, tzinfo=UTC))])
    script = _form(folder, create_app(settings, store))
    store.close()
    name, shape, *_ = kind.split(" ")
    processes, _, threads = shape.partition("x")
    port = free_port()
    here = Path(sys.executable).parent
    commands = {
        "granian": [
            *(str(here / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
            *("--workers", processes, "--blocking-threads", threads, "--no-access-log", "feedback_app.wsgi:app"),
        ],
        "gunicorn": [
            *(str(here / "python"), "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "-w", processes),
            *("--threads", threads, "feedback_app.wsgi:app"),
        ],
        "waitress": [
            *(str(here / "python"), "-m", "waitress", f"--listen=127.0.0.1:{port}", f"--threads={threads}"),
            "feedback_app.wsgi:app",
        ],
    }
    # Servers that the program does not come with are found beside it, in an environment of their own.
    packages = next(ours.parent.glob("lib/python*/site-packages"))
    path = "" if name == "granian" else f":{packages}"
    with running(commands[name], port, folder, PYTHONPATH=f"{ROOT}{path}", **values) as server:
        yield server, port, script


def _form(folder: Path, app: Flask) -> Path:
    client = app.test_client()
    page = client.get(f"/feedback/comments/new?post={PATH}").text
    cookie = client.get_cookie("undisclosed")
    hidden = {name: _value(page, name) for name in ("csrf_token", "seal")}
    fields = urlencode({**hidden, "author": "Nora", "email": "", "website": "", "action": "post"})
    words = urlencode({"x": WORDS}).removeprefix("x=")
    return _script(folder, POST_LUA, cookie=cookie.value if cookie else "", fields=fields, words=words, seed=1)


def _value(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]+)"', page)
    assert found, page
    return found[1]


def _script(folder: Path, text: str, **values: object) -> Path:
    path = folder / "load.lua"
    path.write_text(text.format(**values), encoding="utf-8")
    return path


def _bake(site: Path) -> None:
    """The static page with a thread of so many comments, as a build bakes it, in a page of the theme's size."""
    with tempfile.TemporaryDirectory() as name:
        store = open_store(load_settings({"UNDISCLOSED_INSTANCE": name, "UNDISCLOSED_SITE_URL": SITE}))
        now = datetime(2007, 10, 10, tzinfo=UTC)
        with store.writing() as session:
            register_posts(session, [Post(PATH, "Opps!", now)])
            thread = find_thread(session, PATH)
            assert thread
            for step in range(READ):
                post_comment(
                    session,
                    thread.id,
                    prepare_text(f"Reader {step}", f"Number {step}. {WORDS}", Rules(Moderation.NONE, most_links=9)),
                    address=None,
                    parent=None,
                    rules=Rules(Moderation.NONE, most_links=9),
                    evidence=Evidence(),
                    now=now + timedelta(minutes=step),
                )
        with store.reading() as session:
            shown = approved_comments(session, [PATH])[PATH]
        store.close()
    pieces = pieces_of(PATH, shown, SiteInfo(SITE, "Mongrel Socks", ZoneInfo("America/New_York")))
    page = site / PATH.lstrip("/")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"<!DOCTYPE html><title>Opps!</title>{''.join(pieces.values())}", encoding="utf-8")


def _aim(times: float, aim: float, what: str) -> None:
    _say(f"aim: {aim:.0f} times {what}: {times:.2f} times: {_reached(times >= aim)}")


def _reached(reached: bool) -> str:  # noqa: FBT001 - a word for it
    return "reached" if reached else "not reached"


def _middle(loads: list[Load]) -> Load:
    return sorted(loads, key=lambda one: one.rate)[len(loads) // 2]


def _all(loads: list[Load]) -> str:
    return json.dumps([round(one.rate) for one in loads])


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is what it is for
