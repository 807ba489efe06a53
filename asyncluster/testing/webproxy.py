"""A web proxy as sites have one between their machines and the world: for what has to go through it in tests.

Names that are resolved nowhere here are led to one port of this machine: who reaches the service by such a name has
gone through the proxy.  `http:` comes with the whole URL in its first line; for `https:` a tunnel is asked for
(CONNECT), at whose end the proxy itself stands for the service, with a certificate of its own.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

LIMIT = 60.0


class WebProxy:
    """Runs in threads while it is entered.  seen: method and host of each request; port: where it listens.

    upstream: port on loopback of the service; certificate, key: PEM files, for tunnels.
    """

    def __init__(self, upstream: int, certificate: Path, key: Path) -> None:
        self.upstream = upstream
        self.seen: list[tuple[str, str]] = []
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)
        proxy = self

        class Handler(_Handler):
            of = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def __enter__(self) -> WebProxy:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    of: WebProxy
    protocol_version = "HTTP/1.1"
    timeout = LIMIT

    def do_POST(self) -> None:
        """One that is passed on: by its URL, or inside a tunnel by its path."""
        url = urlsplit(self.path)
        self.of.seen.append((self.command, url.netloc or "tunnel"))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = http.client.HTTPConnection("127.0.0.1", self.of.upstream, timeout=LIMIT)
        try:
            asked.request(self.command, url.path or "/", body, dict(self.headers))
            answer = asked.getresponse()
            told = answer.read()
        finally:
            asked.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/xml"))
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def do_CONNECT(self) -> None:
        """A tunnel; what comes out of it is served here, over TLS."""
        self.of.seen.append((self.command, self.path))
        self.send_response(200)
        self.end_headers()
        self.connection = self.of.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""
