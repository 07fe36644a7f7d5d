"""What the tests of the service share: a model that tells what it computed, and a server on a socket."""

import asyncio
import contextlib
import hashlib
import socket
import threading

import numpy as np
import uvicorn

from medha_core import CallableEmbedder, EmbedderService
from medha_core.service.app import create_app


class Counted:
    """A model of 8 dimensions that keeps a list of the batches it was given."""

    def __init__(self, name="counted", dimension=8):
        self.batches = []
        self.failing = None
        self.may_go = threading.Event()
        self.may_go.set()
        self.entered = threading.Event()
        self.embedder = CallableEmbedder(self._run, dimension, name, batch=True)

    def _run(self, texts):
        self.batches.append(list(texts))
        self.entered.set()
        assert self.may_go.wait(30)
        if self.failing is not None:
            raise self.failing
        return [vector_of(text, self.embedder.dimension) for text in texts]

    @property
    def texts(self):
        return [text for batch in self.batches for text in batch]

    def service(self, **options):
        return EmbedderService("counted", embedders={"counted": self.embedder}, **options)


def vector_of(text, dimension=8):
    """A vector that belongs to a text and to no other."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal(dimension)


async def until(condition, seconds=20):
    """Wait until something that another task or thread brings about is so."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class Served:
    """An application on a port of this machine, served by uvicorn in a thread."""

    def __init__(self, *arguments, **options):
        self.app = create_app(*arguments, **options)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self.app, log_level="warning", lifespan="on", timeout_graceful_shutdown=10)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self):
        self._thread.start()
        while not self.server.started:
            assert self._thread.is_alive()
            threading.Event().wait(0.01)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self._thread.join(30)
        with contextlib.suppress(OSError):
            self._socket.close()
        assert not self._thread.is_alive()
