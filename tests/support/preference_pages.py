"""Use the preference pages as a customer does, and read what was stored."""

from bs4 import BeautifulSoup
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from feedback_app.customers.consent import frequencies, history
from feedback_app.customers.models import ConsentEvent, Customer, Frequency
from feedback_app.customers.topics import Topic
from feedback_app.db.base import Base
from feedback_app.db.store import Store
from feedback_app.mailing.letters.context import LetterContext
from tests.support.clock import OPPS_DAY

ASK = "/feedback/preferences"


TESS = "tess@example.com"


NOTHING_CHOSEN = {
    "specials": "never",
    "news": "never",
    "replies": "never",
    "format": "html",
    "name_display": "undisclosed",
    "name": "",
    "pause_until": "",
}


ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def centre(desk: LetterContext, person: int) -> str:
    """Return the path of a customer's preference centre, in a link made today."""
    return desk.preferences_link(person, OPPS_DAY).removeprefix(desk.settings.site_url)


def unsubscribe_path(desk: LetterContext, person: int, topic: Topic = Topic.SPECIALS) -> str:
    """Return the path of an unsubscribe link for a topic, made today."""
    return desk.unsubscribe_link(person, topic, OPPS_DAY).removeprefix(desk.settings.site_url)


def send(client: FlaskClient, path: str, fields: dict[str, str]) -> TestResponse:
    """Open a page with a form and send the form, as a browser does."""
    form = BeautifulSoup(client.get(path).text, "html.parser").select_one("form [name=csrf_token]")
    assert form, "the page has no form with a token"
    return client.post(path, data={"csrf_token": str(form["value"]), **fields})


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tables."""
    with store.reading() as session:
        return {
            table.name: sorted((tuple(row) for row in session.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
        }


def choices_of(store: Store, person: int) -> dict[Topic, Frequency]:
    """Return what a customer chose."""
    with store.reading() as session:
        return frequencies(session, session.get_one(Customer, person))


def record_of(store: Store, person: int) -> list[ConsentEvent]:
    """Return a customer's consent record, oldest first."""
    with store.reading() as session:
        return history(session, session.get_one(Customer, person))


def told(page: TestResponse) -> str:
    """Return the main text of a page in one line."""
    main = BeautifulSoup(page.text, "html.parser").main
    assert main
    return " ".join(main.get_text().split())


SUBSCRIBE = "/feedback/subscribe"
