"""The app for a WSGI server: the only module that creates it on import."""

from feedback_app.app import create_app
from feedback_app.config import load_settings

app = create_app(load_settings())
