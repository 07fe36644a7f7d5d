"""How `medha serve` bears load: many connections on loopback, hits and misses mixed.

    python benchmarks/load_serve.py [--seconds 60] [--connections 64] [--model hashing]

Starts the server as a process of its own and ends it. Of the requests, half embed a text that is
remembered, a tenth one that nobody sent before, a tenth a batch of both, a fifth search the cache and
a tenth ask in the OpenAI protocol. Before that, equal texts of all connections at once must be computed
once. Prints requests a second, p50 and p99 by kind, the server's CPU share, and its memory at the start
and at the end. Exits with 1 if any request failed.
"""

import argparse
import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import httpx

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")
_KNOWN = [f"How many orders were placed in week {week}?" for week in range(1, 201)]


def resident(pid):
    """Megabytes of a process's memory that are in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 2**20


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def start(model, folder):
    kept = {name: value for name, value in os.environ.items() if name != "MEDHA_KEYS"}
    command = [sys.executable, "-m", "medha_core.cli", "serve", "--port", "0", "--path", folder / "cache"]
    command += ["--model", model] if model else []
    process = subprocess.Popen(
        list(map(str, command)), env=kept | {"MEDHA_KEYS": os.devnull}, stderr=subprocess.PIPE, text=True
    )
    line = process.stderr.readline()
    found = re.search(r"http://\S+", line)
    if not found:
        raise SystemExit(f"the server did not start: {line}{process.stderr.read()}")
    return process, found.group()


class Load:
    """What the connections did together."""

    def __init__(self, client, seed=1):
        self.client = client
        self.random = random.Random(seed)
        self.seconds = defaultdict(list)
        self.failures = Counter()
        self.new = 0

    def unseen(self):
        self.new += 1
        return f"Which customer of branch {self.new} bought article {self.new * 7919 % 10_007}?"

    def request(self):
        """A kind, a path and a body."""
        known, dice = self.random.choice(_KNOWN), self.random.random()
        if dice < 0.5:
            return "embed, hit", "/embed/text", {"text": known}
        if dice < 0.6:
            return "embed, miss", "/embed/text", {"text": self.unseen()}
        if dice < 0.7:
            texts = self.random.sample(_KNOWN, 12) + [self.unseen() for _ in range(4)]
            return "batch of 16, 4 misses", "/embed/batch", {"texts": texts}
        if dice < 0.9:
            return "search", "/cache/search", {"question": known if dice < 0.8 else self.unseen()}
        return "openai, hit", "/v1/embeddings", {"input": known, "model": self.model}

    async def connection(self, until):
        while time.monotonic() < until:
            kind, path, body = self.request()
            begun = time.perf_counter()
            try:
                answer = await self.client.post(path, json=body)
                if answer.status_code != 200:
                    self.failures[f"{path}: {answer.status_code} {answer.text[:200]}"] += 1
            except httpx.HTTPError as error:
                self.failures[f"{path}: {error!r}"] += 1
            self.seconds[kind].append(time.perf_counter() - begun)

    async def prepare(self):
        """Remember the known texts, and store a query for each."""
        health = (await self.client.get("/embed/health")).json()
        self.model = health["default_model"]
        (await self.client.post("/embed/warm", json={"texts": _KNOWN})).raise_for_status()
        for number, question in enumerate(_KNOWN):
            body = {
                "question": question,
                "generated_query": f"SELECT COUNT(*) FROM orders WHERE week = {number}",
            }
            (await self.client.post("/cache/store", json=body)).raise_for_status()

    async def same_at_once(self, connections):
        """How often a text was computed that all connections sent at the same time, twenty times over."""
        computed = []
        for turn in range(20):
            body = {"text": f"a text that everybody wants at once, number {turn}"}
            answers = await asyncio.gather(
                *(self.client.post("/embed/text", json=body) for _ in range(connections))
            )
            computed.append(sum(not answer.json()["cached"] for answer in answers))
        return max(computed)


def shown(name, seconds, during):
    ordered = sorted(seconds)
    p50, p99 = (ordered[int((len(ordered) - 1) * share)] * 1000 for share in (0.5, 0.99))
    print(f"{name:<24}{len(ordered):>9}{len(ordered) / during:>10.0f}{p50:>10.1f}{p99:>10.1f}")


async def run(url, pid, connections, seconds):
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:
        load = Load(client)
        await load.prepare()
        once = await load.same_at_once(connections)
        memory = [resident(pid)]
        cpu, begun = processor_seconds(pid), time.monotonic()
        tasks = [asyncio.create_task(load.connection(begun + seconds)) for _ in range(connections)]
        for quarter in range(1, 5):
            await asyncio.sleep(max(0, begun + seconds * quarter / 4 - time.monotonic()))
            memory.append(resident(pid))
        await asyncio.gather(*tasks)
        during = time.monotonic() - begun
        cpu = processor_seconds(pid) - cpu
        metrics = (await client.get("/embed/metrics")).json()["metrics"]
    print(f"{connections} connections, {during:.0f} s, model {load.model}, {os.cpu_count()} processors")
    print(f"{'':<24}{'requests':>9}{'per s':>10}{'p50 ms':>10}{'p99 ms':>10}")
    for kind, each in sorted(load.seconds.items()):
        shown(kind, each, during)
    shown("all", [each for kind in load.seconds.values() for each in kind], during)
    print("resident MB: " + ", ".join(f"{each:.0f}" for each in memory) + " (start, then each quarter)")
    requests = sum(map(len, load.seconds.values()))
    print(
        f"server: {cpu / during:.2f} processors, {cpu / requests * 1000:.2f} ms of them a request; "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    print(f"hit rate {metrics['cache_hit_rate']:.3f}; a text sent by all at once was computed {once} time(s)")
    print(f"failures: {sum(load.failures.values())} {dict(load.failures.most_common(5)) or ''}")
    return not load.failures and once == 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--model", help="as for medha serve; the default model without")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        process, url = start(given.model, Path(folder))
        try:
            good = asyncio.run(run(url, process.pid, given.connections, given.seconds))
        finally:
            process.terminate()
            process.communicate(timeout=60)
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
