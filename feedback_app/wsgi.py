"""The app for a WSGI server: the only module that makes one when it is imported."""

import gc

from feedback_app.app import create_app
from feedback_app.config import load_settings
from feedback_app.mailing.transports.registry import check_url

app = create_app(load_settings(check_transport_url=check_url))
# What is there now stays: looking through it again and again for what can be let go would hold requests up.
gc.collect()
gc.freeze()
