"""One WSGI service over HTTP on loopback, with threads: `serve.py PORT BEFORE MODULE:ATTRIBUTE [ITS ARGUMENTS]`.

BEFORE: a module that takes long to import and does nothing yet: it is imported while the databases are still filled.
"""

from __future__ import annotations

import importlib
import os
import socketserver
import sys
import time
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


class Server(ThreadingMixIn, WSGIServer):
    """A thread for each request; asks no name server who it is."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()


class Handler(WSGIRequestHandler):
    """Says nothing of requests."""

    def log_message(self, *_) -> None:
        pass

    def address_string(self) -> str:
        return self.client_address[0]


def serve(port: int, app) -> None:
    """Until the process is ended."""
    make_server("127.0.0.1", port, app, Server, Handler).serve_forever()


def wait_for_databases() -> None:
    """Until they are what they are to be."""
    while not os.path.exists(os.environ["DATABASES_READY"]):
        time.sleep(0.05)


if __name__ == "__main__":
    port, before, place = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    sys.argv = [place, *sys.argv[4:]]
    importlib.import_module(before)
    wait_for_databases()
    module, _, attribute = place.partition(":")
    serve(port, getattr(importlib.import_module(module), attribute))
