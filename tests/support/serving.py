"""An app behind a real server, in the test's own process: with its pinned clock, on a port of the kernel's choice."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from waitress.server import create_server

ENDING_SECONDS = 5


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve an app until the end of the `with`; says where."""
    server = create_server(app, host="127.0.0.1", port=0, threads=8)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()

    def end() -> None:
        # Browsers hold connections, which would keep the server from ending.
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.close()

    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        # In the server's own thread: elsewhere, it could be about to ask the kernel for what is closed just now.
        server.trigger.pull_trigger(end)
        thread.join(ENDING_SECONDS)
