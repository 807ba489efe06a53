"""One WSGI service over HTTP on loopback, with threads: `serve.py PORT BEFORE MODULE:ATTRIBUTE [ITS ARGUMENTS]`.

BEFORE: a module that takes long to import and does nothing yet: it is imported while the databases are still filled.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
import time
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each request; asks no name server who it is."""

    daemon_threads = True
    request_queue_size = 128

    def take(self, held: socket.socket) -> None:
        """Listen on that one."""
        self.socket.close()
        self.socket, self.server_address = held, held.getsockname()
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()
        self.server_activate()


class Handler(WSGIRequestHandler):
    """Says nothing of requests."""

    def log_message(self, *_) -> None:
        pass

    def address_string(self) -> str:
        return self.client_address[0]


def hold(port: int) -> socket.socket:
    """The port, as early as can be, so that nobody else takes it while much is imported; nobody is heard on it yet."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", port))
    return held


def serve(held: socket.socket, app) -> None:
    """Until the process is ended."""
    server = Server(held.getsockname(), Handler, bind_and_activate=False)
    server.take(held)
    server.set_app(app)
    server.serve_forever()


def wait_for_databases() -> None:
    """Until they are what they are to be."""
    while not os.path.exists(os.environ["DATABASES_READY"]):
        time.sleep(0.05)


if __name__ == "__main__":
    port, before, place = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    sys.argv = [place, *sys.argv[4:]]
    held = hold(port)
    importlib.import_module(before)
    wait_for_databases()
    module, _, attribute = place.partition(":")
    serve(held, getattr(importlib.import_module(module), attribute))
