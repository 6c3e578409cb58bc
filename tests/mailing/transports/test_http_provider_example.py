"""The documentation's example of a transport: a mailing goes out through it, and each answer is mapped right."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from feedback_app.config import SettingsError, load_settings
from feedback_app.db.store import Store
from feedback_app.mailing.transports import registry
from feedback_app.mailing.transports.registry import check_url
from tests.support.clock import Clock
from tests.support.mailings import counts, gather, held, reasons, worker_to
from tests.support.people import ALICE, BOB
from tests.support.shop import ROOT
from tests.support.smtp import MailServer

KEY = "a-key-of-the-provider"


@dataclass
class Provider:
    """A provider's HTTP interface that answers with a status code; 0 closes the connection without an answer."""

    status: int = 202
    requests: list[dict[str, object]] = field(default_factory=list)
    url: str = ""


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Run a provider on a free port of this machine."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Authorization"] == f"Bearer {KEY}"
            provider.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if provider.status:
                self.send_response(provider.status, "as told")
                self.end_headers()
                self.wfile.write(b"about <alice@example.com>")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.url = f"example+http://{KEY}@127.0.0.1:{server.server_port}/messages"
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield provider
        server.shutdown()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A provider, with the example's transport registered for its URL."""
    monkeypatch.syspath_prepend(ROOT / "docs" / "examples")
    monkeypatch.setattr(registry, "TRANSPORTS", {})
    registry.register("example+http", "http_transport:HttpTransport")
    with running_provider() as running:
        yield running


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (202, "accepted"),
        (429, "deferred"),
        (503, "deferred"),
        (422, "failed"),
        (0, "unknown"),
    ],
)
def test_a_mailing_goes_out_through_the_example(
    status: int, state: str, provider: Provider, store: Store, clock: Clock
) -> None:
    provider.status = status
    gather(store, ALICE, BOB)
    held(store, minutes=0, clock=clock)
    worker_to(MailServer(), store, smtp_url=provider.url, halt_share="1").work_once()
    assert counts(store) == {state: 2}
    assert sorted(str(request["to"]) for request in provider.requests) == [f"['{ALICE.address}']", f"['{BOB.address}']"]
    assert all(b"Subject: Free socks" in base64.b64decode(str(request["raw"])) for request in provider.requests)
    assert not any("alice" in (reason or "") for reason in reasons(store))


def test_a_provider_that_can_not_be_reached_gets_nothing(provider: Provider, store: Store, clock: Clock) -> None:
    gather(store, ALICE)
    held(store, minutes=0, clock=clock)
    worker_to(MailServer(), store, smtp_url=f"example+http://{KEY}@127.0.0.1:1/messages").work_once()
    assert counts(store) == {"deferred": 1}
    assert provider.requests == []


def test_settings_accept_the_url_of_a_registered_transport_only(provider: Provider) -> None:
    environ = {"UNDISCLOSED_SMTP_URL": provider.url}
    assert load_settings(environ, check_transport_url=check_url).smtp_url == provider.url
    for url in ("example+http:///messages", "another+http://key@host/"):
        with pytest.raises(SettingsError, match="UNDISCLOSED_SMTP_URL: must be"):
            load_settings({"UNDISCLOSED_SMTP_URL": url}, check_transport_url=check_url)
