"""Signing in as an owner and sending the desk's forms."""

import re

from flask.testing import FlaskClient
from passlib.totp import TOTP
from werkzeug.test import TestResponse

from tests.support.clock import Clock

ADMIN = "/feedback/admin"
PASSWORD = "odd socks never match"


def token(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, page
    return found[1]


def fill(client: FlaskClient, path: str, to: str | None = None, **fields: str | list[str]) -> TestResponse:
    """Open a form, fill it in and send it."""
    form = {"csrf_token": token(client.get(path, follow_redirects=True).text)}
    return client.post(to or path, data=form | fields, follow_redirects=True)


def set_up(client: FlaskClient, clock: Clock, username: str = "Nora") -> TOTP:
    """Sign in for the first time and set up the second factor; return its codes."""
    assert "The second factor" in fill(client, f"{ADMIN}/sign-in", username=username, password=PASSWORD).text
    page = fill(client, f"{ADMIN}/second-factor", setup="authenticator").text
    assert "<svg" in page
    key = re.search(r'class="key">([^<]+)<', page)
    assert key
    codes = TOTP(key=key[1])
    done = client.post(f"{ADMIN}/code", data={"csrf_token": token(page), "code": code(codes, clock)})
    assert done.headers["Location"].endswith(f"{ADMIN}/")
    return codes


def code(codes: TOTP, clock: Clock) -> str:
    return str(codes.generate(clock.now().timestamp()).token)
