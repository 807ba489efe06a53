"""`python -m bench.pages COUNT SIZE < ANSWER`: answers DescribeInstances with so many, made from an answer with one.

Moto takes minutes to write of 2,000 instances; EC2 does not.  Prints the port on which it listens, on loopback.
"""

from __future__ import annotations

import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs


def written(answer: str, count: int, size: int) -> list[bytes]:
    """All pages.  Instances differ in id, name and token."""
    head, one, tail = re.fullmatch(r"(.*<reservationSet>)(.*)(</reservationSet>.*)", answer, re.DOTALL).groups()
    told = dict(re.findall(r"<key>(asyncluster-name|asyncluster-token)</key>\s*<value>([^<]*)</value>", one))
    id_ = re.search(r"<instanceId>([^<]*)<", one)[1]
    found = []
    for begin in range(0, count, size):
        part = "".join(
            one.replace(id_, f"i-{number:017x}")
            .replace(told["asyncluster-token"], f"{number:032x}")
            .replace(told["asyncluster-name"], f"bench-{number}")
            for number in range(begin, min(count, begin + size))
        )
        more = f"<nextToken>{len(found) + 1}</nextToken>" if begin + size < count else ""
        found.append((head + part + tail.replace("</reservationSet>", "</reservationSet>" + more)).encode())
    return found


def main() -> None:
    """Serve until killed."""
    all_pages = written(sys.stdin.read(), int(sys.argv[1]), int(sys.argv[2]))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            body = all_pages[int(asked.get("NextToken", ["0"])[0])]
            self.send_response(200)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_address[1], flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
