"""Creating the web app from its parts."""

from collections.abc import Callable
from dataclasses import dataclass

from babel import negotiate_locale
from flask import Flask, g, request
from flask.typing import ResponseReturnValue
from flask_babel import Babel, get_locale
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.middleware.proxy_fix import ProxyFix

from feedback_app import clock
from feedback_app.api.views import api
from feedback_app.comments.author_views import own_comments
from feedback_app.comments.views import comments
from feedback_app.config import Settings, Switch
from feedback_app.customers.views.address_change import address_change_pages
from feedback_app.customers.views.preference_centre import preference_pages
from feedback_app.customers.views.subscribe import subscribe_pages
from feedback_app.customers.views.unsubscribe import unsubscribe_pages
from feedback_app.db.setup import open_store
from feedback_app.db.store import Store
from feedback_app.desk.views import prepare_desk
from feedback_app.heartbeats import alive
from feedback_app.i18n import ENGLISH, TRANSLATIONS, big, small
from feedback_app.mailing.transports.registry import make_transport
from feedback_app.mailing.views import outbox_pages
from feedback_app.privacy.views import own_data
from feedback_app.security import keys
from feedback_app.web.app_class import App
from feedback_app.web.app_state import AppState
from feedback_app.web.errors import prepare_errors
from feedback_app.web.headers import PRIVATE, prepare_headers
from feedback_app.web.live_reload import reload_pages
from feedback_app.web.rate_limits import RateLimits
from feedback_app.web.site_files import serve_site

MAX_BODY_BYTES = 256 * 1024
# Seconds for which a form's CSRF token is valid.
FORM_SECONDS = 24 * 3600
# The blueprints whose pages are translated.
TRANSLATED_BLUEPRINTS = frozenset({"preferences", "unsubscribe", "subscribe", "address_change", "own_data"})


@dataclass(frozen=True, slots=True)
class Serving:
    """What `undisclosed serve` adds to the app: the built site, and the workers that health checks."""

    loopback: bool
    workers: frozenset[str]


def create_app(settings: Settings, store: Store | None = None, serving: Serving | None = None) -> Flask:
    """Create the app for these settings. Raises StoreProblem or KeyProblem if the store or a key can't be used."""
    store = store or open_store(settings)
    signer = keys.signer(settings)
    app = App(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        SECRET_KEY=signer.session_keys[0],
        SECRET_KEY_FALLBACKS=signer.session_keys[1:],
        SESSION_COOKIE_NAME="undisclosed",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.site_url.startswith("https:"),
        WTF_CSRF_TIME_LIMIT=FORM_SECONDS if settings.rate_limits is Switch.ON else None,
    )
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies, x_proto=0)  # type: ignore[method-assign]
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["undisclosed"] = AppState(settings, store, signer, RateLimits(app, settings, signer))
    prepare_languages(app, settings)
    prepare_headers(app)
    prepare_errors(app)
    app.register_blueprint(comments)
    app.register_blueprint(own_comments)
    app.register_blueprint(preference_pages)
    app.register_blueprint(unsubscribe_pages)
    app.register_blueprint(subscribe_pages)
    app.register_blueprint(address_change_pages)
    app.register_blueprint(own_data)
    app.register_blueprint(api)
    prepare_desk(app)
    app.add_url_rule("/feedback/health", "health", _health_view(store, serving))
    outbox = make_transport(settings.smtp_url).folder if serving and serving.loopback else None
    if outbox:
        app.register_blueprint(outbox_pages(outbox.resolve()))
    if serving and serving.loopback:
        app.register_blueprint(reload_pages())
    if serving:
        serve_site(app, settings.output.resolve(), live_reload=serving.loopback)
    return app


def prepare_languages(app: Flask, settings: Settings) -> None:
    """Translate customers' pages into the language they chose or their browser asks for; other pages are English."""

    def language() -> str:
        if request.blueprint not in TRANSLATED_BLUEPRINTS:
            return ENGLISH
        accepted = negotiate_locale(request.accept_languages.values(), settings.languages, sep="-")
        return str(g.get("language") or accepted or settings.languages[0])

    app.config.update(BABEL_TRANSLATION_DIRECTORIES=str(TRANSLATIONS), BABEL_DEFAULT_LOCALE=ENGLISH)
    Babel(app, locale_selector=language)
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.filters.update(small=small, big=big)
    app.context_processor(lambda: {"language": str(get_locale())})


def _health_view(store: Store, serving: Serving | None) -> Callable[[], ResponseReturnValue]:
    def health() -> ResponseReturnValue:
        """Answer 200 when the store answers and, under `serve`, every worker is alive; else 503."""
        expected = serving.workers if serving else frozenset()
        try:
            with store.reading() as session:
                session.execute(select(1))
                missing = expected - alive(session, now=clock.now())
        except SQLAlchemyError:
            return {"status": "unavailable", "store": "does not answer"}, 503, PRIVATE
        if missing:
            return {"status": "unavailable", "store": "ok", "workers": "not all are up"}, 503, PRIVATE
        return {"status": "ok", "store": "ok"}, 200, PRIVATE

    return health
