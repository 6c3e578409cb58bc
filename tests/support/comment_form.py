"""Using the comment form as a reader does, and reading what it left in the store."""

from bs4 import BeautifulSoup, Tag
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from feedback_app.comments.models import Comment
from feedback_app.comments.services import list_comments
from feedback_app.db.store import Store
from tests.support.comments import OPPS

FORM = f"/feedback/comments/new?post={OPPS.path}"


WORDS = "Use Bcc, friends. I typed this for an hour."


def soup_of(answer: TestResponse) -> BeautifulSoup:
    """A page, to look around in."""
    return BeautifulSoup(answer.text, "html5lib")


def token_of(client: FlaskClient, url: str = FORM) -> str:
    """The token of a form that was just opened."""
    field = soup_of(client.get(url)).select_one("input[name=csrf_token]")
    assert isinstance(field, Tag)
    return str(field["value"])


def opened(client: FlaskClient, url: str = FORM) -> dict[str, str]:
    """What a form that was just opened brings along by itself."""
    fields = soup_of(client.get(url)).select("#comment-form input[type=hidden]")
    return {str(field["name"]): str(field["value"]) for field in fields}


def send(client: FlaskClient, url: str = FORM, action: str = "post", **fields: str) -> TestResponse:
    """Fill in the form and press a button."""
    values = {"author": "Nora", "email": "", "body": WORDS} | opened(client) | fields
    return client.post(url, data=values | {"action": action})


def kept(answer: TestResponse) -> str:
    """What stands in the form's big field."""
    field = soup_of(answer).find("textarea")
    assert isinstance(field, Tag)
    return field.get_text().strip()


def comments_in(store: Store) -> list[Comment]:
    """All there are."""
    with store.reading() as session:
        return [comment for comment, _ in list_comments(session)]
