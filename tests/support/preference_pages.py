"""Using the preference pages as a customer does, and reading what they left in the store."""

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
    """The path of a link to somebody's choices, made today."""
    return desk.preferences_link(person, OPPS_DAY).removeprefix(desk.settings.site_url)


def way_out(desk: LetterContext, person: int, topic: Topic = Topic.SPECIALS) -> str:
    """The path of a link that ends a topic, made today."""
    return desk.unsubscribe_link(person, topic, OPPS_DAY).removeprefix(desk.settings.site_url)


def send(client: FlaskClient, path: str, fields: dict[str, str]) -> TestResponse:
    """Open a page with a form and send the form, as a browser does."""
    form = BeautifulSoup(client.get(path).text, "html.parser").select_one("form [name=csrf_token]")
    assert form, "the page has no form with a token"
    return client.post(path, data={"csrf_token": str(form["value"]), **fields})


def rows(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the store."""
    with store.reading() as session:
        return {
            table.name: sorted((tuple(row) for row in session.execute(select(table))), key=repr)
            for table in Base.metadata.sorted_tables
        }


def choices_of(store: Store, person: int) -> dict[Topic, Frequency]:
    """What somebody chose."""
    with store.reading() as session:
        return frequencies(session, session.get_one(Customer, person))


def record_of(store: Store, person: int) -> list[ConsentEvent]:
    """Somebody's record."""
    with store.reading() as session:
        return history(session, session.get_one(Customer, person))


def told(page: TestResponse) -> str:
    """A page's main text in one line."""
    main = BeautifulSoup(page.text, "html.parser").main
    assert main
    return " ".join(main.get_text().split())


SUBSCRIBE = "/feedback/subscribe"
