"""Small servers that speak the documented protocols of engines that cannot run here.

Each listens on a socket, takes what the engine's official client sends, applies filters as the
engine's documentation says, and searches by comparing every vector. What they do not know, they refuse.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np


class Refused(Exception):
    """An answer with an error status."""

    def __init__(self, status, body):
        super().__init__(body)
        self.status, self.body = status, body


def nearest(query, vectors, limit):
    """Places and cosines of the vectors nearest to a query, best first."""
    if not len(vectors):
        return []
    rows = np.asarray(vectors, dtype=np.float64)
    query = np.asarray(query, dtype=np.float64)
    cosines = rows @ query / (np.linalg.norm(rows, axis=1) * np.linalg.norm(query))
    return [(int(i), float(cosines[i])) for i in np.argsort(-cosines, kind="stable")[:limit]]


class JsonServer:
    """HTTP on a port: `answer(method, path, query, body)` gives (status, JSON value)."""

    headers = ()

    def __init__(self, context=None):
        self.lock = threading.RLock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = 1 << 16

            def log_message(self, *_):
                pass

            def handle_one(self):
                address = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                query = {k: v[-1] for k, v in parse_qs(address.query, keep_blank_values=True).items()}
                try:
                    with outer.lock:
                        status, value = outer.answer(self.command, unquote(address.path), query, body)
                except Refused as refused:
                    status, value = refused.status, refused.body
                except Exception as error:
                    status, value = (
                        500,
                        {"error": f"the stand-in does not know this: {error!r}", "status": 500},
                    )
                data = b"" if value is None or self.command == "HEAD" else json.dumps(value).encode()
                self.send_response(status)
                for name, held in outer.headers:
                    self.send_header(name, held)
                if value is not None:
                    self.send_header("Content-Type", outer.content_type)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_one

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    content_type = "application/json"

    @property
    def port(self):
        return self._server.server_address[1]

    def answer(self, method, path, query, body):
        raise NotImplementedError

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
