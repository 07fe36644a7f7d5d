"""The engines that tests run against: how each is started, and how a test gets a store on it.

A harness makes stores that are empty at first. `real` says whether the engine itself runs
or a small server of ours that speaks its protocol.
"""

import asyncio
import os
import uuid
from contextlib import AsyncExitStack, suppress

import asyncpg
import numpy as np
import pytest

from medha_core import CacheEntry, Settings
from medha_core.backends.pgvector import PgVectorBackend


def settings(**given):
    return Settings(_env_file=None, **given)


class Harness:
    """One engine, for one test."""

    name = ""
    real = True
    shared = True
    """Whether two stores can be open on the same data."""
    rows = 10_000
    """What the test of many rows writes."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.id = f"t{uuid.uuid4().hex[:12]}"

    def make(self, **options):
        raise NotImplementedError

    async def break_connections(self):
        """Cut what the open stores are connected by."""
        pytest.skip(f"{self.name} runs in the process: there is no connection")

    async def clean(self):
        pass


class Pgvector(Harness):
    name = "pgvector"
    backend = PgVectorBackend

    def settings(self, **more):
        return settings(pg_dsn=self.server.url, pg_schema=self.id, pg_pool_min_size=1, **more)

    def make(self, **options):
        return self.backend(self.settings(), **options)

    async def break_connections(self):
        await self.admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()"
                         " AND backend_type = 'client backend'")

    async def admin(self, statement):
        connection = await asyncpg.connect(self.server.url)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    async def clean(self):
        await self.admin(f"DROP SCHEMA IF EXISTS {self.id} CASCADE")


HARNESSES = {one.name: (one, server) for one, server in ((Pgvector, "postgres"),)}
