"""A TCP relay that tests put before a server, to cut its connections."""

import contextlib
import socket
import socketserver
import threading
import time

_QUIET = 0.05
"""Seconds in which nothing is sent when both sides wait."""


class _Relay(socketserver.BaseRequestHandler):
    def handle(self):
        if self.server.refusing:
            return
        with contextlib.suppress(OSError), _connected(self.server.target) as upstream:
            pair = (self.request, upstream)
            for one in pair:
                if one.family == socket.AF_INET:
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.server.lock:
                self.server.pairs.append(pair)
            if self.server.refusing:
                return
            answer = self.server.answer
            back = threading.Thread(target=_copy, args=(upstream, self.request, answer), daemon=True)
            back.start()
            _copy(self.request, upstream, self.server.ask)
            back.join()


def _connected(target):
    if isinstance(target, int):
        return socket.create_connection(("127.0.0.1", target))
    upstream = socket.socket(socket.AF_UNIX)
    upstream.connect(target)
    return upstream


def _copy(source, target, send):
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            send(target, data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def _deliver(held):
    for client, data in held:
        with contextlib.suppress(OSError):
            client.sendall(data)


class Proxy(socketserver.ThreadingTCPServer):
    """Relays to an address: a port of this machine, or the path of a socket.

    `cut` breaks every connection, `down` refuses new ones too. Within `counting`, `round_trips` counts
    how often those who ask have waited: answers are held back until nobody has anything more to say.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address):
        super().__init__(("127.0.0.1", 0), _Relay)
        self.target = address
        self.pairs, self.lock, self.refusing = [], threading.Lock(), False
        self.round_trips, self._held, self._asked, self._last = 0, None, False, 0.0
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    @property
    def port(self):
        return self.server_address[1]

    def ask(self, server, data):
        with self.lock:
            self._asked, self._last = True, time.monotonic()
        server.sendall(data)

    def answer(self, client, data):
        with self.lock:
            self._last = time.monotonic()
            if self._held is not None:
                self._held.append((client, data))
                return
        client.sendall(data)

    @contextlib.contextmanager
    def counting(self):
        self.round_trips, self._held, self._asked = 0, [], False
        stop = threading.Event()
        letting = threading.Thread(target=self._let_go, args=(stop,), daemon=True)
        letting.start()
        try:
            yield self
        finally:
            stop.set()
            letting.join()

    def _let_go(self, stop):
        while not stop.wait(_QUIET / 10):
            with self.lock:
                if not self._held or time.monotonic() < self._last + _QUIET:
                    continue
                self.round_trips += self._asked
                held, self._held, self._asked = self._held, [], False
            _deliver(held)
        with self.lock:  # what comes next must not overtake them
            _deliver(self._held)
            self._held = None

    def refuse(self):
        """Be a server that is gone: until `relent`, every connection breaks, and so does every new one."""
        self.refusing = True
        self.cut()

    def relent(self):
        self.refusing = False

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for one in pair:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def down(self):
        self.shutdown()
        self.server_close()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()
