"""The app for a WSGI server: the only module that creates it on import."""

from feedback_app.app import create_app
from feedback_app.config import load_settings
from feedback_app.mailing.transports.registry import check_url

app = create_app(load_settings(check_transport_url=check_url))
