"""The API's endpoints: whether a customer may be written to, and the audience of a topic."""

import json
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from urllib.parse import unquote

from flask import Blueprint, Response, request
from limits import parse
from sqlalchemy import update

from feedback_app import clock
from feedback_app.api.lists import ListedCustomer, audience_rows, csv_lines, json_lines
from feedback_app.api.models import ApiKey, Scope
from feedback_app.api.services import find_key, is_use_worth_noting
from feedback_app.audit_log import Act, note
from feedback_app.customers.addresses import Address, BadAddress
from feedback_app.customers.consent import frequencies, may_write_to
from feedback_app.customers.services import find_customer
from feedback_app.customers.topics import Topic
from feedback_app.mailing.letters.context import LetterContext
from feedback_app.web.app_state import app_state
from feedback_app.web.headers import keep_private
from feedback_app.web.problem_details import API_PREFIX, Problem, problem_response

# Addresses are sent in a header: URLs are kept in logs, histories and proxies.
ADDRESS_HEADER = "Undisclosed-Address"
QUESTION_LIMIT = parse("1200/minute")
LIST_LIMIT = parse("30/minute")
BAD_KEY_LIMIT = parse("30/minute")
DESCRIPTION = Path(__file__).with_name("openapi.json")
JSON_LINES, CSV = "application/jsonl", "text/csv"

api = Blueprint("api", __name__, url_prefix=f"{API_PREFIX}v1")
api.after_request(keep_private)


def requires_key(scope: Scope) -> Callable[[Callable[[ApiKey], Response]], Callable[[], Response]]:
    """Return a decorator that calls a view only for requests with a key of this scope."""

    def decorate(view: Callable[[ApiKey], Response]) -> Callable[[], Response]:
        @wraps(view)
        def guarded() -> Response:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            with app_state().store.reading() as session:
                key = find_key(session, token.strip()) if scheme.lower() == "bearer" else None
            if key is None:
                if not app_state().limits.admit(BAD_KEY_LIMIT, "bad keys", app_state().limits.client_network_hash()):
                    return _too_fast("Too many questions without a good key came from your network.")
                detail = "Send a key that `undisclosed keys new` made, in the header Authorization: Bearer KEY."
                headers = {"WWW-Authenticate": 'Bearer realm="undisclosed"'}
                return problem_response(401, Problem.NO_KEY, "A key is needed", detail, headers=headers)
            if scope.value not in key.scopes:
                detail = f"This key was made without the scope {scope}; make another one with it."
                return problem_response(403, Problem.SCOPE, "The key is not for this", detail)
            limit = LIST_LIMIT if scope is Scope.AUDIENCE else QUESTION_LIMIT
            if not app_state().limits.admit(limit, "key", scope.value, str(key.id)):
                return _too_fast(f"This key may ask {limit.amount} times a minute.")
            return view(key)

        return guarded

    return decorate


@api.get("/may-write-to")
@requires_key(Scope.MAY_WRITE_TO)
def may_write_to_view(key: ApiKey) -> Response:
    """Answer whether an address may be written to about a topic now, and how often."""
    topic = _topic()
    if isinstance(topic, Response):
        return topic
    try:
        address = Address.parse(unquote(request.headers.get(ADDRESS_HEADER, ""), errors="strict"))
    except (BadAddress, UnicodeDecodeError):
        detail = f"Put one address into the header {ADDRESS_HEADER}; what is not ASCII, and %, as %XX of its UTF-8."
        return problem_response(400, Problem.ADDRESS, "That is not an address", detail)
    now = clock.now()
    with app_state().store.reading() as session:
        customer = find_customer(session, address)
        may_write = customer is not None and may_write_to(session, customer, topic, now=now)
        frequency = frequencies(session, customer).get(topic) if customer is not None and may_write else None
    _note_use(key)
    # A no gives no reason: the reason is the customer's own business.
    return _json(
        {"topic": topic.value, "may_write_to": may_write, "frequency": frequency.value if frequency else "never"}
    )


@api.get("/audience")
@requires_key(Scope.AUDIENCE)
def audience(key: ApiKey) -> Response:
    """Stream every customer who may be written to about a topic now, one per line."""
    topic = _topic()
    if isinstance(topic, Response):
        return topic
    accepted = request.accept_mimetypes
    if accepted and not accepted.best_match([JSON_LINES, CSV]):
        detail = f"Ask for {JSON_LINES} or {CSV} in the header Accept."
        return problem_response(406, Problem.FORMAT, "There is no such format", detail)
    now = clock.now()
    with app_state().store.writing() as session:
        note(session, f"key {key.name}", Act.ADDRESS_SHOWN, f"the audience of {topic}", now=now)
    _note_use(key)
    rows = _rows(topic)
    media_type = (accepted.best_match([JSON_LINES, CSV]) if accepted else None) or JSON_LINES
    pieces = csv_lines(rows) if media_type == CSV else json_lines(rows)
    return Response(pieces, content_type=f"{media_type}; charset=utf-8")


@api.get("/openapi.json")
def description() -> Response:
    """Return the API's description (OpenAPI)."""
    topics = json.dumps([topic.value for topic in Topic])
    document = json.loads(DESCRIPTION.read_text(encoding="utf-8").replace('"TOPICS"', topics))
    document["servers"] = [{"url": f"{app_state().settings.site_url}{API_PREFIX}v1"}]
    return _json(document)


def _rows(topic: Topic) -> Iterator[ListedCustomer]:
    return audience_rows(app_state().store, LetterContext(app_state().settings, app_state().signer), topic)


def _topic() -> Topic | Response:
    """Return the topic of the request, or a response that says what is wrong with it."""
    if set(request.args) - {"topic"}:
        if any("@" in value for values in request.args.listvalues() for value in values):
            detail = (
                f"URLs end in logs. Send the address in the header {ADDRESS_HEADER}, and look through your own logs."
            )
            return problem_response(400, Problem.ADDRESS_IN_URL, "An address has no place in a URL", detail)
        detail = "The only thing to be asked for in the URL is a topic."
        return problem_response(400, Problem.BAD_REQUEST, "The question is not understood", detail)
    try:
        return Topic(request.args.get("topic", ""))
    except ValueError:
        detail = f"Ask about one of: {', '.join(topic.value for topic in Topic)}."
        return problem_response(400, Problem.TOPIC, "There is no such topic", detail)


def _note_use(key: ApiKey) -> None:
    now = clock.now()
    if is_use_worth_noting(key, now=now):
        with app_state().store.writing() as session:
            session.execute(update(ApiKey).where(ApiKey.id == key.id).values(used_at=now))


def _too_fast(title: str) -> Response:
    detail = "Wait a minute, and ask again."
    return problem_response(429, Problem.TOO_FAST, title, detail, headers={"Retry-After": "60"})


def _json(document: object) -> Response:
    return Response(json.dumps(document, ensure_ascii=False) + "\n", mimetype="application/json")
