"""Fixtures of the desk's tests: an owner, signed in."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from feedback_app.db.store import Store
from feedback_app.desk.services import create_owner
from tests.support.clock import OPPS_DAY, Clock
from tests.support.signing_in import PASSWORD, set_up


@pytest.fixture
def nora(store: Store) -> str:
    """User name of the shop's owner."""
    with store.writing() as session:
        return create_owner(session, "nora", PASSWORD, who="a test", now=OPPS_DAY).username


@pytest.fixture
def at_work(app: Flask, clock: Clock, nora: str) -> FlaskClient:
    """Nora's browser, signed in."""
    client = app.test_client()
    set_up(client, clock, nora)
    return client
