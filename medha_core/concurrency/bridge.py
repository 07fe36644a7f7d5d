"""Runs coroutines for synchronous callers, on one event loop that lives in its own thread."""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from medha_core.concurrency import forking
from medha_core.errors import MedhaError

T = TypeVar("T")


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop for ever. What asks a program to end reaches the caller it belongs to, and no other."""
    while True:
        with suppress(SystemExit, KeyboardInterrupt):
            loop.run_forever()


class Bridge:
    """One event loop thread a process, started when first needed, and again after a fork.

    All synchronous calls share the loop, so what an embedder or a store opened
    in one call still belongs to a running loop in the next.
    """

    def __init__(self) -> None:
        self._lock = forking.lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result. Safe from any thread, inside a running event loop too."""
        loop = self._running()
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise MedhaError("a *_sync method was called from a coroutine that a *_sync method is running")
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:  # also an interrupt of the waiting thread: nobody wants the result any more
            future.cancel()
            raise

    async def borrow(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, run on this loop, awaited on any: for what must outlive a caller's loop."""
        loop = self._running()
        if asyncio.get_running_loop() is loop:
            return await coroutine
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop without waiting for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None or self._process != os.getpid():
                self._loop, self._process = asyncio.new_event_loop(), os.getpid()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name="medha-sync", daemon=True
                )
                self._thread.start()
            return self._loop


bridge = Bridge()
