"""A server on a real socket that speaks the documented protocols of the embedding services."""

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from medha_core.embeddings import HashingEmbedder

msgpack = pytest.importorskip("msgpack")

DIMENSION = 64
KEY = "the-key"


def vector(text, dimension=DIMENSION):
    """What every route answers for a text: twice a unit vector, so that scaling shows."""
    return (HashingEmbedder(dimension).embed_array([text])[0] * 2).tolist()


class EmbeddingServer:
    """Answers until it is stopped; `faults` are given instead of answers, one for each request.

    A fault is a dictionary: `status`, `headers` and `body` of the answer, `delay` before it, `close` to
    hang up instead, or `edit`, a function of the right answer.
    """

    def __init__(self):
        self.requests = []  # (path, headers, body)
        self.faults = []
        self.connections = 0
        self.under_way = self.most_under_way = 0
        self.delay = 0.0
        self.speaks_msgpack = True
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def bodies(self):
        return [body for _, _, body in self.requests]

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            server.connections += 1

        def log_message(self, *_):
            pass

        def do_POST(self):
            raw = self.rfile.read(int(self.headers["content-length"]))
            packed = self.headers["content-type"] == "application/msgpack"
            if packed and not server.speaks_msgpack:
                self.answer(415, {}, b'{"error": {"message": "JSON only"}}')
                return
            body = msgpack.unpackb(raw) if packed else json.loads(raw)
            with server.lock:
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.requests.append((self.path, headers, body))
                fault = server.faults.pop(0) if server.faults else {}
                server.under_way += 1
                server.most_under_way = max(server.most_under_way, server.under_way)
            time.sleep(fault.get("delay", server.delay))
            with server.lock:
                server.under_way -= 1
            if fault.get("close"):
                self.close_connection = True
                return
            right = ROUTES[self.path](body)
            if "edit" in fault:
                right = fault["edit"](right)
            content = msgpack.packb(right, use_single_float=True) if packed else json.dumps(right).encode()
            self.answer(fault.get("status", 200), fault.get("headers", {}), fault.get("body", content))

        def answer(self, status, headers, content):
            kind = self.headers["content-type"] if status == 200 else "application/json"
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _openai(body):
    """https://platform.openai.com/docs/api-reference/embeddings"""
    dimension = body.get("dimensions", DIMENSION)
    vectors = [vector(text, dimension) for text in body["input"]]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(np.array(v, "<f4").tobytes()).decode() for v in vectors]
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "model": body["model"], "data": data[::-1], "usage": usage}


def _cohere(body):
    """https://docs.cohere.com/reference/embed"""
    assert body["embedding_types"] == ["float"]
    assert len(body["texts"]) <= 96
    vectors = [vector(f"{body['input_type']}|{text}") for text in body["texts"]]
    return {"id": "1", "embeddings": {"float": vectors}, "texts": body["texts"]}


def _gemini(body):
    """https://ai.google.dev/api/embeddings#method:-models.batchembedcontents"""
    assert len(body["requests"]) <= 100
    found = []
    for request in body["requests"]:
        (part,) = request["content"]["parts"]
        found.append({"values": vector(f"{request['taskType']}|{part['text']}")})
    return {"embeddings": found}


def _embed(body):
    """The msgpack protocol of the embedding cache."""
    vectors = [vector(f"{body['role']}|{text}") for text in body["texts"]]
    model = body.get("model", "all-MiniLM-L6-v2")
    hits = [text.startswith("known") for text in body["texts"]]
    return {"embeddings": vectors, "cache_hits": hits, "model": model, "dimensions": DIMENSION}


ROUTES = {
    "/v1/embeddings": _openai,
    "/v2/embed": _cohere,
    "/v1beta/models/text-embedding-004:batchEmbedContents": _gemini,
    "/embed": _embed,
}
