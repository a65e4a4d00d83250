"""The server of the page: on this machine alone, until Ctrl-C."""

import contextlib
import os
import secrets
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import uvicorn

from kh_zoo.batches.plan import check_writable
from kh_zoo.errors import ZooError, debugging
from kh_zoo.page import painter
from kh_zoo.page.app import create_app
from kh_zoo.page.gallery import Gallery, Options

HOST = "127.0.0.1"
_GRACE = 1
"""Seconds that a download under way has at the end."""


class PageServer:
    """Serves the page. A context manager, which removes what was kept of the pictures.

    Args:
        options: How pictures are coloured and written.
        port: To listen on; 0 for any that is free.

    Raises:
        OutputError: The output folder can't be written to.
        ZooError: The port can't be listened on, or the model can't be loaded.
    """

    def __init__(self, options: Options, port: int = 0) -> None:
        with contextlib.ExitStack() as opened:
            if options.output:
                check_writable(options.output)
                options.output.mkdir(parents=True, exist_ok=True)
            listening = opened.enter_context(_listen(port))
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="kh-page-"))
            self.gallery = Gallery(Path(folder), options)
            opened.callback(self.gallery.stop)
            self.gallery.predicting.do(painter.load, **options.model_of(options.first))
            self._socket = listening
            self._opened = opened.pop_all()
        token = secrets.token_urlsafe(32)
        port = listening.getsockname()[1]
        self.address = f"http://{HOST}:{port}/{token}/"
        app = create_app(self.gallery, token, (f"{HOST}:{port}", f"localhost:{port}"))
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                # Of what others send that is no HTTP it would tell, too.
                log_level="warning" if debugging() else "critical",
                log_config=None,  # it would close what others log to
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE,
            )
        )

    def run(self, ready: Callable[[], object] = lambda: None) -> None:
        """Serve until Ctrl-C, SIGTERM or `stop`.

        Args:
            ready: Called when the page can be opened.
        """
        ready()  # what comes before the server waits in the socket
        with contextlib.suppress(KeyboardInterrupt):
            self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Let `run`, in another thread, come to its end."""
        self._server.should_exit = True

    def __enter__(self) -> "PageServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


def _listen(port: int) -> socket.socket:
    # With its protocol named, or asyncio lets small answers wait (no TCP_NODELAY).
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere this would share a port that is in use
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise ZooError(
            f"`port` should be one that is free. Received: {port} ({error.strerror or error})"
        ) from error
    return listening
