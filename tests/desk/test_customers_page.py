"""The customers page: charts with tables of the same, and one customer by address."""

import pytest
from bs4 import BeautifulSoup
from flask.testing import FlaskClient

from feedback_app.audit_log import Act, newest_lines
from feedback_app.customers.models import Frequency
from feedback_app.db.store import Store
from tests.support.clock import OPPS_DAY
from tests.support.databases import SQLITE
from tests.support.people import ALICE, BOB, welcome
from tests.support.signing_in import ADMIN, fill

pytestmark = pytest.mark.parametrize("backend", [SQLITE], indirect=True)
PAGE = f"{ADMIN}/customers"


def test_charts_are_also_words_and_tables_and_show_no_address(at_work: FlaskClient, store: Store) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.EACH, news=Frequency.WEEKLY)
    welcome(store, BOB, now=OPPS_DAY, specials=Frequency.EACH)
    page = BeautifulSoup(at_work.get(PAGE).text, "html.parser")
    assert "@" not in page.get_text()
    charts = page.select("figure.chart svg[role=img]")
    assert len(charts) == 4
    for drawn in charts:
        for name in ("aria-labelledby", "aria-describedby"):
            assert page.find(id=str(drawn[name]))
    assert [bar.get_text() for bar in charts[0].select("rect title")][:2] == ["Offers, each: 2", "Offers, weekly: 0"]
    [offers, news, _] = page.select("#table-1 tbody tr")
    assert [cell.get_text() for cell in offers.select("td")] == ["2", "0", "0", "2"]
    assert [cell.get_text() for cell in news.select("td")] == ["0", "1", "0", "1"]
    last = page.select("#table-2 tbody tr")[-1]
    assert [cell.get_text() for cell in last.select("th, td")] == ["2007-10", "2", "0", "1", "0", "0", "0"]


def test_one_customer_is_shown_by_address_and_the_log_records_it(at_work: FlaskClient, store: Store) -> None:
    welcome(store, ALICE, now=OPPS_DAY, specials=Frequency.WEEKLY)
    page = fill(at_work, PAGE, email=ALICE.address.upper()).text
    assert ALICE.address in page
    assert "Offers: weekly." in page
    assert "Nobody with this address" in fill(at_work, PAGE, email=BOB.address).text
    with store.reading() as session:
        lines = [(one.who, one.act, one.about) for one in newest_lines(session)[:2]]
    assert lines == [("nora", Act.ADDRESS_SHOWN, "one customer, by address")] * 2


def test_others_see_nothing_and_a_forged_form_shows_no_customer(
    client: FlaskClient, at_work: FlaskClient, store: Store
) -> None:
    welcome(store, ALICE, now=OPPS_DAY)
    answer = at_work.post(PAGE, data={"email": ALICE.address, "csrf_token": "forged"})
    assert answer.status_code == 400
    assert "known since" not in answer.text
    stranger = client.application.test_client()
    assert stranger.get(PAGE).status_code == 302
    assert ALICE.address not in stranger.post(PAGE, data={"email": ALICE.address}).text
