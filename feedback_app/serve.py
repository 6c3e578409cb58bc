"""`undisclosed serve`: site, app, publisher and mail worker, one process tree to try it out or for a small shop."""

import fcntl
import gc
import logging
import multiprocessing
import multiprocessing.connection
import signal
import socket
import threading
from functools import partial
from typing import IO

import click
from flask import Flask
from granian.constants import Interfaces
from granian.server import Server

from feedback_app.app import Serving, create_app
from feedback_app.config import Settings, is_loopback, remember_site_url
from feedback_app.db.setup import open_store
from feedback_app.heartbeats import end_with_parent, new_worker_id
from feedback_app.mailing.delivery.worker import MailWorker, run_until
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.mailing.transports.registry import make_transport, open_transport
from feedback_app.privacy.retention import purge_and_log
from feedback_app.publishing.builder import BuildReport, build_site
from feedback_app.publishing.daemon import run_publisher
from feedback_app.security import keys
from feedback_app.web.live_reload import RELOAD_PAGE

THREADS = 4
END_SECONDS = 10


class PortTaken(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """Nothing can listen there; one line that says what to do."""


class AlreadyServing(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """Another `serve` runs on this instance; one line that says what to do."""


def only_one(settings: Settings) -> IO[str]:
    """Hold the instance's place as the one that serves, for as long as the file is open. Raises AlreadyServing."""
    settings.instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (settings.instance / "serve.lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        message = f"{settings.instance}: another `undisclosed serve` runs on this instance: end that one first"
        raise AlreadyServing(message) from error
    return file


def address(host: str, port: int) -> str:
    """Where a browser finds what listens on a host: on every address means on this machine's own, too."""
    if host in {"0.0.0.0", "::", "localhost"}:  # noqa: S104 - not bound to, but recognised
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def free_port(host: str, port: int) -> int:
    """A port that can be listened on: the one asked for, or one of the kernel's choice for 0. Raises PortTaken."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        message = f"can't listen on {host} port {port} ({error.strerror}): choose another with --port"
        raise PortTaken(message) from error


def prepare(settings: Settings) -> BuildReport:
    """Make the store, the keys and the site before anything is served. Raises BuildRefused and the store's problems."""
    keys.signer(settings)
    store = open_store(settings)
    try:
        report = build_site(settings, store)
    finally:
        store.close()
    # Only now: a serve that is refused must not lead other commands' links to where nobody listens.
    remember_site_url(settings)
    return report


def places(settings: Settings, host: str, port: int) -> list[tuple[str, str]]:
    """Where to look, by name."""
    here = address(host, port)
    outbox = make_transport(settings.smtp_url).folder
    return [
        ("the blog", f"{here}/"),
        ("preferences", f"{here}/feedback/preferences"),
        *([("live reload", f"{here}{RELOAD_PAGE}")] if is_loopback(host) else []),
        *([("letters", f"{here}/outbox/")] if outbox and is_loopback(host) else []),
        *([("letters", str(outbox))] if outbox and not is_loopback(host) else []),
        ("keys", f"{keys.AddressKeys(settings).where}: keep a copy apart; without it nobody can read the store"),
    ]


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until ended."""
    # Forked before any thread is started: the children share the memory of everything that is imported by now.
    gc.collect()
    gc.freeze()
    processes = multiprocessing.get_context("fork")
    ids = {"publisher": new_worker_id(), "mailer": new_worker_id()}
    children = [
        processes.Process(target=target, args=(settings, ids[name]), name=name)
        for name, target in (("publisher", _publish), ("mailer", _mail))
    ]
    for child in children:
        child.start()
    serving = Serving(loopback=is_loopback(host), workers=frozenset(ids.values()))
    server = Server(
        "undisclosed",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=THREADS,
        log_enabled=False,
        respawn_failed_workers=True,
        workers_kill_timeout=END_SECONDS,
    )
    ended = threading.Event()
    threading.Thread(target=_watch_children, args=(children, ended), daemon=True, name="watch-children").start()
    try:
        server.serve(target_loader=partial(_load, settings=settings, serving=serving), wrap_loader=False)
    finally:
        ended.set()
        for child in children:
            child.terminate()
        for child in children:
            child.join(END_SECONDS)


def _watch_children(children: list[multiprocessing.context.ForkProcess], ended: threading.Event) -> None:
    """Say it when a worker ends by itself; health says it too."""
    running = {child.sentinel: child for child in children}
    while running:
        multiprocessing.connection.wait(list(running))
        if ended.is_set():
            return
        for sentinel, child in list(running.items()):
            if not child.is_alive():
                del running[sentinel]
                click.echo(f"undisclosed: the {child.name} has ended: stop and start again", err=True)


def _load(*_: object, settings: Settings, serving: Serving) -> Flask:
    end_with_parent()
    return create_app(settings, serving=serving)


def _prepare_child() -> threading.Event:
    end_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    # Ctrl-C reaches the whole tree; the parent tells the children when it is their turn.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return stop


def _publish(settings: Settings, worker_id: str) -> None:
    stop = _prepare_child()
    store = open_store(settings)
    run_publisher(settings, store, worker_id, stop)
    store.close()


def _mail(settings: Settings, worker_id: str) -> None:
    stop = _prepare_child()
    store = open_store(settings)
    desk = LetterContext.of(settings, keys.signer(settings))
    with open_transport(settings.smtp_url, settings.smtp_connections) as transport:
        worker = MailWorker(store, settings, desk, transport, id=worker_id)
        run_until(worker, stop, hourly=lambda: purge_and_log(store))
        worker.sign_off()
    store.close()
