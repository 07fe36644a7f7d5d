"""RediSearch's FT commands before a real Redis: every other command goes to that, and its answer comes back."""

import contextlib
import re
import socket
import socketserver
import threading

import numpy as np
import redis
from stand_in import nearest

_KNN = re.compile(
    r"^(?P<filter>.*)=>\[KNN (?P<k>\d+) @(?P<field>\w+) \$(?P<param>\w+) AS (?P<score>\w+)\]$", re.DOTALL
)
_TAG = re.compile(r"@(\w+):\{([^}]*)\}")
_RANGE = re.compile(r"@(\w+):\[(\(?)(\S+) (\(?)(\S+)\]")


class Failed(Exception):
    pass


class RediSearch(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, upstream):
        super().__init__(("127.0.0.1", 0), _Connection)
        self.upstream = upstream
        self.client = redis.Redis(port=upstream.port, protocol=2)
        self.indexes = {}
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self):
        return self.server_address[1]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
        self.client.close()

    def command(self, name, arguments):
        if name == "FT._LIST":
            return list(self.indexes)
        if name == "FT.CREATE":
            return self.create(arguments)
        if name == "FT.DROPINDEX":
            if self.indexes.pop(arguments[0], None) is None:
                raise Failed(f"{arguments[0].decode()}: no such index")
            return "OK"
        if name == "FT.SEARCH":
            return self.search(arguments)
        raise Failed(f"unknown command '{name}'")

    def create(self, arguments):
        name, *rest = arguments
        if name in self.indexes:
            raise Failed("Index already exists")
        words = [one.decode() for one in rest]
        assert words[:2] == ["ON", "HASH"]
        assert words[2:4] == ["PREFIX", "1"]
        schema = words[words.index("SCHEMA") + 1 :]
        at = schema.index("VECTOR")
        count = int(schema[at + 2])
        options = dict(
            zip(schema[at + 3 : at + 3 + count : 2], schema[at + 4 : at + 3 + count : 2], strict=True)
        )
        assert options["TYPE"] == "FLOAT32"
        assert options["DISTANCE_METRIC"] == "COSINE"
        self.indexes[name] = {"prefix": words[4], "dim": int(options["DIM"])}
        return "OK"

    def search(self, arguments):
        name, query, *rest = arguments
        if name not in self.indexes:
            raise Failed(f"{name.decode()}: no such index")
        index, parsed = self.indexes[name], _KNN.match(query.decode())
        if parsed is None:
            raise Failed(f"Syntax error at {query.decode()}")
        options = _options(rest)
        if options["DIALECT"] != [b"2"]:
            raise Failed("KNN needs DIALECT 2")
        params = dict(zip(options["PARAMS"][::2], options["PARAMS"][1::2], strict=True))
        vector = np.frombuffer(params[parsed["param"].encode()], dtype="<f4")
        if len(vector) != index["dim"]:
            raise Failed("query vector blob size does not match index's expected size")
        rows = [row for row in self.rows(index) if _passes(parsed["filter"], row[1])]
        vectors = [np.frombuffer(row[1][parsed["field"].encode()], dtype="<f4") for row in rows]
        found = nearest(vector, vectors, int(parsed["k"]))
        first, count = (int(one) for one in options["LIMIT"])
        answer = [len(found)]
        for place, cosine in found[first : first + count]:
            key, held = rows[place]
            fields = []
            for field in options["RETURN"]:
                value = repr(1.0 - cosine).encode() if field.decode() == parsed["score"] else held[field]
                fields += [field, value]
            answer += [key, fields]
        return answer

    def rows(self, index):
        escaped = re.sub(r"([\[\]*?\\])", r"\\\1", index["prefix"])
        keys = list(self.client.scan_iter(match=f"{escaped}*", count=1000))
        with self.client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hgetall(key)
            return [(key, held) for key, held in zip(keys, pipeline.execute(), strict=True) if held]


def _options(words):
    """The clauses after the query: name -> its words."""
    options, words = {}, list(words)
    while words:
        name = words.pop(0).decode()
        if name in ("PARAMS", "RETURN"):
            count = int(words.pop(0))
        else:
            count = {"SORTBY": 1, "LIMIT": 2, "DIALECT": 1}[name]
        options[name], words = words[:count], words[count:]
    return options


def _passes(condition, held):
    if condition == "*":
        return True
    assert condition[0] + condition[-1] == "()"
    rest = condition[1:-1]
    for field, wanted in _TAG.findall(rest):
        if wanted not in held[field.encode()].decode().split(" "):
            return False
    for field, low_open, low, high_open, high in _RANGE.findall(rest):
        value, low, high = float(held[field.encode()]), float(low), float(high)
        if not (value > low if low_open else value >= low) or not (
            value < high if high_open else value <= high
        ):
            return False
    assert not _RANGE.sub("", _TAG.sub("", rest)).strip(), rest
    return True


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        with (
            contextlib.suppress(OSError, EOFError),
            socket.create_connection(("127.0.0.1", self.server.upstream.port)) as upstream,
        ):
            upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            replies = upstream.makefile("rb")
            while True:
                raw, words = _request(self.rfile)
                name = words[0].decode().upper()
                if name.startswith("FT."):
                    self.wfile.write(self.reply(name, words[1:]))
                else:
                    upstream.sendall(raw)
                    self.wfile.write(_reply(replies))

    def reply(self, name, arguments):
        try:
            return _encoded(self.server.command(name, arguments))
        except Failed as error:
            return f"-{error}\r\n".encode()
        except Exception as error:
            return (
                f"-ERR the stand-in does not know this: {error!r}\r\n".replace("\n", " ").encode() + b"\r\n"
            )


def _line(file):
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError
    return line


def _request(file):
    head = _line(file)
    raw, words = [head], []
    for _ in range(int(head[1:])):
        size = _line(file)
        data = file.read(int(size[1:]) + 2)
        raw += [size, data]
        words.append(data[:-2])
    return b"".join(raw), words


def _reply(file):
    """The bytes of one answer."""
    head = _line(file)
    if head[:1] == b"$" and int(head[1:]) >= 0:
        return head + file.read(int(head[1:]) + 2)
    if head[:1] == b"*":
        return head + b"".join(_reply(file) for _ in range(int(head[1:])))
    return head


def _encoded(value):
    if isinstance(value, str):
        return f"+{value}\r\n".encode()
    if isinstance(value, int):
        return f":{value}\r\n".encode()
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    return b"*%d\r\n" % len(value) + b"".join(map(_encoded, value))
