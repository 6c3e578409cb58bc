"""A real server for an app, in the test's process with its pinned clock, on a free port."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from waitress.server import create_server

ENDING_SECONDS = 5


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve an app within the `with`; yields its URL."""
    server = create_server(app, host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()

    def end() -> None:
        # Browsers keep connections open, which would keep the server from ending.
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.close()

    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        # In the server's own thread: closed from another one, the socket could be in use at this moment.
        server.trigger.pull_trigger(end)
        thread.join(ENDING_SECONDS)
