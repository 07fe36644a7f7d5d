"""Background: what a cache does by itself while it is open."""

import asyncio
import logging
import os
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from medha_core.acts.parts import Parts
from medha_core.concurrency.bridge import bridge
from medha_core.errors import MedhaError

logger = logging.getLogger("medha_core")

_Work = asyncio.Task[None] | Future[None]


class Background:
    """Deletes what has expired, every so often, and adds this cache's counts to the collection's.

    With a store of this process it runs on the loop of the synchronous twins,
    which nobody closes; with any other on the loop that the cache was started in.
    """

    def __init__(self, parts: Parts):
        self._parts = parts
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._saves: set[_Work] = set()
        self._cleanup: _Work | None = None
        self._saving = False
        self._process = os.getpid()

    def _look_around(self) -> None:
        """In a forked child what was under way is not: its loop and its thread stayed with the parent."""
        if self._process != os.getpid():
            self._begin_anew()

    def begin(self) -> None:
        """The store is open now."""
        self._loop = None if self._parts.backend.local else asyncio.get_running_loop()
        if self._parts.backend.read_only:
            return
        self._parts.stats.on_due = self._save_soon
        seconds = self._parts.settings.cleanup_interval_seconds
        if seconds is not None:
            self._cleanup = self._started(self._clean_up(seconds))

    async def end(self) -> None:
        """Stop, and save what was counted."""
        self._look_around()
        if self._cleanup is not None:
            self._cleanup.cancel()
            with suppress(asyncio.CancelledError):
                await _ended(self._cleanup)
        for save in list(self._saves):
            await _ended(save)
        await self.save()

    async def save(self) -> None:
        """Add what was counted since the last time. A failing store gives a warning; the counts wait."""
        unsaved = None if self._parts.backend.read_only else self._parts.stats.take_unsaved()
        if unsaved is None:
            return
        try:
            await self._parts.backend.add_stats(self._parts.scope.collection, unsaved)
        except MedhaError as error:
            self._parts.stats.give_back(unsaved)
            logger.warning("statistics were not saved: %s", type(error).__name__)

    def _started(self, coroutine: Coroutine[Any, Any, None]) -> "_Work":
        return self._loop.create_task(coroutine) if self._loop else bridge.submit(coroutine)

    def _save_soon(self) -> None:
        """From any thread: save without keeping anybody waiting."""
        self._look_around()
        if self._saving or self._parts.state != "started":
            return
        if self._loop is None:
            self._saving = True
            self._start_save()
        elif self._loop.is_running():
            self._saving = True
            self._loop.call_soon_threadsafe(self._start_save)

    def _start_save(self) -> None:
        save = self._started(self._save_once())
        self._saves.add(save)
        save.add_done_callback(self._saves.discard)

    async def _save_once(self) -> None:
        try:
            await self.save()
        finally:
            self._saving = False

    async def _clean_up(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                gone = await self._parts.forgetter.expire(self._parts.scope.collection)
                if gone:
                    logger.info("%d expired entries were deleted", gone)
            except MedhaError as error:
                logger.warning("expired entries were not deleted: %s", type(error).__name__)


async def _ended(work: _Work) -> None:
    """Wait for it, if it belongs to a loop that still runs."""
    if isinstance(work, Future):
        await asyncio.wrap_future(work)
    elif work.get_loop() is asyncio.get_running_loop():
        await work
