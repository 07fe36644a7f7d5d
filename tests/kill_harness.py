"""Kills a cache that writes, at random moments, and looks what is left.

    python tests/kill_harness.py --kills 2000 --seed 7

What was promised is recorded in this process, which is not killed: the writer announces each change
before it makes it and acknowledges it after. Then every question must have the query that was
acknowledged last, or one announced since; batches are there whole or not at all; the last
acknowledged snapshot, or a newer one, is whole. Prints what it counted as JSON; exit code 1 for a loss.
"""

import argparse
import asyncio
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

from medha_core import HashingEmbedder, Medha, MedhaError, Settings, normalize_question
from medha_core.embedded import checkpoint, upkeep
from medha_core.embedded.maintenance import compact
from medha_core.embedded.verification import verify
from medha_core.scope import entry_id

NAME = "kills"
QUESTIONS = 200
KILLS_PER_FOLDER = 25
LONGEST = 0.1
"""Seconds a writer lives at most once it has changed something, or has begun."""

Changes = dict[int, int | None]
"""The revision of each question, None where it was deleted."""


def question(number: int) -> str:
    return f"How many parts does machine {number} have?"


def query(number: int, revision: int) -> str:
    return f"SELECT parts FROM machines WHERE id = {number} -- {revision}"


def cache_in(folder: Path) -> Medha:
    settings = Settings(
        _env_file=None,
        path=folder / "live",
        guard="off",
        index_tier="graph",
        checkpoint_changes=40,
        compact_above=0.2,
    )
    # Files are written, graphs built anew and the log folded in the background all the time, though there
    # are few entries.
    checkpoint.WORTH_A_FILE = upkeep.WORTH_A_FILE = 1
    upkeep._LOGGED_PAGES = 40
    return Medha(NAME, HashingEmbedder(16), settings=settings)


# the process that is killed


async def write_until_killed(folder: Path, seed: int, first: int, say: int) -> None:
    """Change entries at random for ever, announcing and acknowledging each change."""
    rng = random.Random(seed)
    if first > 1 and rng.random() < 0.2:
        tell(say, "open", {})
        compact(folder / "live")
        if (folder / "kept").exists():
            compact(folder / "kept")
    async with cache_in(folder) as cache:
        tell(say, "open", {})
        for revision in count(first):
            act = rng.choices([store, store_many, delete, snapshot], [6, 4, 1, 1])[0]
            await act(cache, folder, rng, revision, say)


def tell(say: int, word: str, changes: Changes) -> None:
    os.write(say, f"{json.dumps([word, list(changes.items())])}\n".encode())


async def store(cache: Medha, _folder: Path, rng: random.Random, revision: int, say: int) -> None:
    number = rng.randrange(QUESTIONS)
    tell(say, "try", {number: revision})
    assert await cache.store(question(number), query(number, revision))
    tell(say, "done", {number: revision})


async def store_many(cache: Medha, _folder: Path, rng: random.Random, revision: int, say: int) -> None:
    numbers = rng.sample(range(QUESTIONS), rng.randint(2, 40))
    changes: Changes = dict.fromkeys(numbers, revision)
    pairs = [{"question": question(n), "generated_query": query(n, revision)} for n in numbers]
    tell(say, "try", changes)
    assert await cache.store_many(pairs, batch_size=100) == len(numbers)
    tell(say, "done", changes)


async def delete(cache: Medha, _folder: Path, rng: random.Random, _revision: int, say: int) -> None:
    number = rng.randrange(QUESTIONS)
    tell(say, "try", {number: None})
    await cache._backend.delete(NAME, [entry_id(NAME, question(number), {})])
    tell(say, "done", {number: None})


async def snapshot(cache: Medha, folder: Path, _rng: random.Random, _revision: int, say: int) -> None:
    await cache.snapshot(folder / "kept")
    tell(say, "kept", {})


# the process that looks


class Promises:
    """What each question may answer after the last kill."""

    def __init__(self) -> None:
        self.allowed: dict[int, set[int | None]] = {n: {None} for n in range(QUESTIONS)}
        self.open: Changes = {}
        """The change that was announced and not acknowledged: all of it is there, or nothing."""
        self.kept = False
        self.acknowledged = 0

    def hear(self, said: bytes) -> None:
        self.open = {}
        for line in said.splitlines():
            word, changes = json.loads(line)
            if word == "try":
                self.open = dict(changes)
            elif word == "done":
                self.allowed |= {number: {revision} for number, revision in changes}
                self.acknowledged += len(changes)
                self.open = {}
            elif word == "kept":
                self.kept = True

    def newest(self) -> int:
        said = {r for allowed in self.allowed.values() for r in allowed} | set(self.open.values())
        return max((revision for revision in said if revision is not None), default=0)

    def settle(self, seen: Changes) -> list[str]:
        """Complaints about what was found; from now on, that is what is promised."""
        complaints = []
        landed = {seen[number] == revision for number, revision in self.open.items() if revision is not None}
        if len(landed) == 2:
            complaints.append(f"half of a batch is there: {self.open}")
        for number, revision in seen.items():
            allowed = self.allowed[number] | ({self.open[number]} if number in self.open else set())
            if revision not in allowed:
                complaints.append(f"question {number}: promised {allowed}, found {revision}")
            self.allowed[number] = {revision}
        return complaints


async def look(folder: Path, kept: bool) -> dict[str, object]:
    """What a new process finds: the revision of each question, and everything that is wrong."""
    seen: Changes = {}
    wrong: list[str] = []
    async with cache_in(folder) as cache:
        for number in range(QUESTIONS):
            found = await cache._backend.with_text(NAME, normalize_question(question(number)))
            seen[number] = int(found[0].query.rpartition(" ")[2]) if found else None
            if len(found) > 1 or (found and found[0].query != query(number, seen[number] or 0)):
                wrong.append(f"question {number} answers {[one.query for one in found]}")
        for number in random.Random(len(seen)).sample(range(QUESTIONS), 10):
            hit = await cache.search(question(number))
            if (revision := seen[number]) is not None and hit.generated_query != query(number, revision):
                wrong.append(f"question {number} is answered {hit.generated_query}")
        held = sum(revision is not None for revision in seen.values())
        if (await cache.stats()).backend_count != held:
            wrong.append(f"{held} entries are found, {(await cache.stats()).backend_count} counted")
    if kept:
        verify(folder / "kept")
    verify(folder / "live")
    names = {path.name for path in (folder / "live" / "index").glob("*")}
    if extra := names - {"1-scoped.bin", "1-unscoped.bin"}:
        wrong.append(f"left behind in the index: {sorted(extra)}")
    return {"seen": list(seen.items()), "wrong": wrong}


# the process that is not killed and keeps the record


def forked(body, *arguments) -> tuple[int, int]:
    """Run a coroutine in a child; its pid, and what it says."""
    hear, say = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(hear)
        status = 1
        try:
            asyncio.run(body(*arguments, say))
            status = 0
        finally:
            os._exit(status)
    os.close(say)
    return child, hear


def until(hear: int, word: bytes) -> bytes:
    """What a child says, up to a word; or all, if it stays silent for 30 seconds."""
    said = b""
    while word not in said and select.select([hear], [], [], 30)[0] and (more := os.read(hear, 65_536)):
        said += more
    return said


def heard(hear: int) -> bytes:
    with os.fdopen(hear, "rb") as said:
        return said.read()


def kill_once(folder: Path, rng: random.Random, promises: Promises) -> None:
    child, hear = forked(write_until_killed, folder, rng.getrandbits(32), promises.newest() + 1)
    # Most have changed something by then, however busy the machine is; the others die at any moment before.
    said = until(hear, b'"done"') if rng.random() < 0.8 else b""
    time.sleep(rng.uniform(0.002, LONGEST))
    os.kill(child, signal.SIGKILL)
    said += heard(hear)
    os.waitpid(child, 0)
    promises.hear(said[: said.rfind(b"\n") + 1])


def inspect(folder: Path, promises: Promises) -> list[str]:
    async def report(say: int) -> None:
        try:
            found = await look(folder, promises.kept)
        except MedhaError as error:
            found = {"seen": [], "wrong": [f"it does not open: {type(error).__name__}: {error}"]}
        for start in range(0, len(text := json.dumps(found).encode()), 4096):
            os.write(say, text[start : start + 4096])

    child, hear = forked(report)
    said = heard(hear)
    os.waitpid(child, 0)
    if not said:
        return ["the process that looked died"]
    found = json.loads(said)
    return found["wrong"] + promises.settle(dict(found["seen"]))


async def _tidy(folder: Path, _say: int) -> None:
    async with cache_in(folder) as cache:
        await cache.snapshot(folder / "kept")


def leftovers(folder: Path) -> list[str]:
    """What is in the folder after one more snapshot that should not be."""
    child, hear = forked(_tidy, folder)
    os.waitpid(child, 0)
    os.close(hear)
    return sorted({path.name for path in folder.iterdir()} - {"live", "kept"})


def run(kills: int, seed: int) -> dict[str, object]:
    rng = random.Random(seed)
    cache_in(Path())  # loads once what each child would load before it writes
    begin, complaints, acknowledged = time.monotonic(), [], 0
    for start in range(0, kills, KILLS_PER_FOLDER):
        folder, promises = Path(tempfile.mkdtemp(prefix="kills-")), Promises()
        for _ in range(min(KILLS_PER_FOLDER, kills - start)):
            kill_once(folder, rng, promises)
            complaints += inspect(folder, promises)
        complaints += [f"left behind: {name}" for name in leftovers(folder)]
        acknowledged += promises.acknowledged
        shutil.rmtree(folder)
    seconds = round(time.monotonic() - begin, 1)
    return {"kills": kills, "acknowledged": acknowledged, "complaints": complaints, "seconds": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    result = run(options.kills, options.seed)
    print(json.dumps(result))
    return 1 if result["complaints"] else 0


if __name__ == "__main__":
    sys.exit(main())
