"""Commands in processes of their own, without the second it takes to import them.

A process that has imported the program and does nothing else waits for commands and forks one for each: with its own
folder, environment, input and output, and its own end. What a command does is what `python -m feedback_app` does.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from click.testing import CliRunner

from feedback_app.cli import main, undisclosed
from feedback_app.config import Settings
from feedback_app.console import Context

MOST = 1 << 20
READY = b"ready"


class Commands:
    """The process that forks commands, started with the first of them."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def run(
        self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], seconds: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end."""
        place = self._started()
        with (
            tempfile.TemporaryFile() as output,
            tempfile.TemporaryFile() as errors,
            Path(os.devnull).open("rb") as nothing,
            socket.socket(socket.AF_UNIX) as connection,
        ):
            connection.settimeout(seconds)
            connection.connect(place)
            said = json.dumps({"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)})
            files = [nothing.fileno(), output.fileno(), errors.fileno()]
            socket.send_fds(connection, [said.encode()], files)
            connection.shutdown(socket.SHUT_WR)
            code = int(connection.recv(16))
            texts = []
            for file in (output, errors):
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess(list(arguments), code, *texts)

    def _started(self) -> str:
        if self._folder is None or self._server is None or self._server.poll() is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="commands-")
            place = f"{self._folder.name}/socket"
            command = [sys.executable, "-m", "tests.support.commands", place]
            root = Path(__file__).parents[2]
            self._server = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root, start_new_session=True)
            assert self._server.stdout
            assert self._server.stdout.readline().strip() == READY
            atexit.register(self.end)
        return f"{self._folder.name}/socket"

    def end(self) -> None:
        """End the process that forks."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None


def _serve(place: str) -> None:
    from feedback_app.privacy import retention  # noqa: F401, PLC0415 - what commands import when they need it
    from feedback_app.publishing.live import update  # noqa: F401, PLC0415 - the same

    undisclosed.import_all()
    # The handlers are forgotten as they end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen(16)
        os.write(1, READY + b"\n")
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _handle(connection)
            connection.close()


def _handle(connection: socket.socket) -> None:
    """Fork one command, wait for its end, say how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    said, files, _, _ = socket.recv_fds(connection, MOST, 3)
    while more := connection.recv(MOST):
        said += more
    child = os.fork()
    if child == 0:
        connection.close()
        _become(json.loads(said), files)
    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(what: dict[str, object], files: list[int]) -> None:
    code = 1
    try:
        for number, file in enumerate(files):
            os.dup2(file, number)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, encoding="utf-8") for number, mode in enumerate(("r", "w", "w"))
        )
        os.chdir(str(what["folder"]))
        os.environ.clear()
        os.environ.update(dict(what["environment"]))  # type: ignore[call-overload]
        sys.argv = ["undisclosed", *what["arguments"]]  # type: ignore[misc]
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


COMMANDS = Commands()


def typed(settings: Settings, *arguments: str, expect: int = 0, given: str | None = None) -> str:
    """What a command says that is run in this process, with its pinned clock; `given` is its standard input."""
    context = Context()
    context.__dict__["settings"] = settings
    result = CliRunner().invoke(undisclosed, arguments, obj=context, input=given)
    assert result.exit_code == expect, (result.output, result.exception)
    return result.output


if __name__ == "__main__":
    _serve(sys.argv[1])
