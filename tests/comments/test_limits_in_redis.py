"""Limits that several processes share, in a real Redis."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from flask.testing import FlaskClient

from feedback_app.app import create_app
from feedback_app.config import Settings
from feedback_app.db.store import Store
from tests.support.clock import Clock
from tests.support.comment_form import WORDS, comments_in, kept, opened, send
from tests.support.comments import OPPS, publish
from tests.support.databases import SQLITE
from tests.support.redis import running_redis

pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[redis.Redis]:
    """A Redis server."""
    with running_redis(tmp_path) as client:
        yield client


def test_processes_that_share_a_redis_count_together_and_keep_no_network_address_there(
    counter: redis.Redis, make_settings: Callable[..., Settings], store: Store, clock: Clock
) -> None:
    publish(store, OPPS)
    port = counter.connection_pool.connection_kwargs["port"]
    settings = make_settings(moderation="none", limits_url=f"redis://127.0.0.1:{port}/0")
    # Two processes of the app have nothing in common but their store, their keys and Redis.
    processes = [create_app(settings, store) for _ in range(2)]

    def browser(process: int) -> FlaskClient:
        return processes[process].test_client()

    answers = [send(browser(number % 2), body=f"{WORDS} {number}").status_code for number in range(10)]
    assert answers == [303] * 10
    turned_away = send(browser(0))
    assert (turned_away.status_code, kept(turned_away)) == (429, WORDS)
    assert turned_away.headers["Retry-After"] == "60"
    assert send(browser(1)).status_code == 429
    assert len(comments_in(store)) == 10
    held = b" ".join(counter.scan_iter()).decode()
    assert held
    assert "127.0.0" not in held
    # The counter goes away while the shop runs: nobody is turned away for that.
    counter.shutdown(nosave=True)
    client = browser(0)
    form = opened(client)
    clock.advance(minutes=1)
    assert send(client, body=f"{WORDS} again", **form).status_code == 303
