"""What a directory survives: kills, damage, full disks, lost rights, and many threads."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from medha_core import (
    HashingEmbedder,
    Medha,
    SearchStrategy,
    Settings,
    SnapshotError,
    StorageError,
)
from medha_core.embedded.verification import verify

HERE = Path(__file__).parent
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def harness(name, *options):
    """What a harness counted; its complaints are the failure."""
    command = [sys.executable, str(HERE / name), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=560)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


@needs_fork
def test_nothing_acknowledged_is_lost_to_200_kills():
    result = harness("kill_harness.py", "--kills", 200)
    assert result["complaints"] == []
    assert result["kills"] == 200
    assert result["acknowledged"] > 200


def test_damage_is_refused_or_left_out_and_never_answered():
    result = harness("damage_harness.py", "--mutations", 200)
    assert result["wrong"] == []
    assert {"refused", "answered in part"} <= set(result["outcomes"])


def test_no_reader_of_a_file_fails_on_what_it_is_given():
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz_readers.py"), "600"],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = json.loads(done.stdout)
    assert {"rows: read", "salvage: read", "manifest: refused", "header: refused"} <= outcomes.keys()


async def test_a_row_that_changed_on_disk_is_left_out_and_the_others_stay(tmp_path, caplog):
    settings = Settings(_env_file=None, path=tmp_path / "live", substitution="off")
    async with Medha("c", HashingEmbedder(32), settings=settings) as cache:
        await cache.store("What did we earn in 2023?", "SELECT 2023")
        await cache.store("What did we earn in 2024?", "SELECT 2024")
    path = tmp_path / "live" / "entries.db"
    path.write_bytes(path.read_bytes().replace(b"SELECT 2023", b"SELECT 2028"))
    async with Medha("c", HashingEmbedder(32), settings=settings) as cache:
        assert not await cache.search("What did we earn in 2023?")
        assert (await cache.search("What did we earn in 2024?")).generated_query == "SELECT 2024"
    assert "entry 1 is damaged" in caplog.text
    with pytest.raises(SnapshotError, match=r"1 of 2 entries are damaged: \[1\]"):
        verify(tmp_path / "live")


# a disk that is full: files of this process may not grow beyond a limit

FULL = """
import asyncio, resource, signal, sys
from pathlib import Path
from medha_core import *

async def main(folder):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    settings = Settings(_env_file=None, path=folder / "live")
    stored = []
    async with Medha("c", HashingEmbedder(32), settings=settings) as cache:
        await cache.store("The first?", "SELECT 0")
        await cache.snapshot(folder / "kept")
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, resource.RLIM_INFINITY))
        for number in range(3000):
            if not await cache.store(f"Where is machine {number}?", f"SELECT {number} -- {'x' * 300}"):
                break
            stored.append(number)
        assert 0 < len(stored) < 3000, len(stored)
        pairs = [{"question": f"Where is car {n}?", "generated_query": "SELECT 1" * 100} for n in range(900)]
        try:
            await cache.store_many(pairs, batch_size=900)
            raise SystemExit("store_many went through")
        except StorageError as error:
            print("store_many:", error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
        try:
            await cache.snapshot(folder / "kept")
            raise SystemExit("snapshot went through")
        except SnapshotError as error:
            print("snapshot:", error)
        assert not list(folder.glob("*.partial")), list(folder.iterdir())
        for number in stored[::20]:
            hit = await cache.search(f"Where is machine {number}?")
            assert hit.generated_query.startswith(f"SELECT {number} ")
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert await cache.store("There is room again?", "SELECT 1")
    print("stored", len(stored))

asyncio.run(main(Path(sys.argv[1])))
"""


@needs_fork
async def test_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    number = int(done.stdout.split()[-1])
    assert verify(tmp_path / "kept").entries == 1
    assert verify(tmp_path / "live").entries == number + 2
    settings = Settings(_env_file=None, path=tmp_path / "live")
    async with Medha("c", HashingEmbedder(32), settings=settings) as cache:
        for machine in range(0, number, 17):
            hit = await cache.search(f"Where is machine {machine}?")
            assert hit.generated_query.startswith(f"SELECT {machine} ")


# a disk that is really full: a small one of its own, which only the superuser may make

NO_ROOM = """
import asyncio, sys
from pathlib import Path
from medha_core import *
from medha_core.embedded import checkpoint, upkeep

checkpoint.WORTH_A_FILE = upkeep.WORTH_A_FILE = 1
folder = Path(sys.argv[1])

async def main():
    settings = Settings(_env_file=None, path=folder / "live", checkpoint_changes=20, guard="off")
    stored = []
    async with Medha("c", HashingEmbedder(32), settings=settings) as cache:
        for number in range(20_000):
            if not await cache.store(f"Where is machine {number}?", f"SELECT {number} -- {'x' * 300}"):
                break
            stored.append(number)
        try:
            await cache.snapshot(folder / "kept")
            raise SystemExit("snapshot went through")
        except SnapshotError as error:
            print(error)
        hits = [await cache.search(f"Where is machine {number}?") for number in stored[::9]]
        assert all(hit.generated_query.startswith(f"SELECT {n} ") for n, hit in zip(stored[::9], hits))
        (folder / "ballast").unlink()
        assert await cache.store("There is room again?", "SELECT 1")
    print(len(stored))

asyncio.run(main())
"""


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by the superuser only; a limit on files stands in above")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_file_system_without_room_loses_nothing_that_was_acknowledged(small_disk):
    (small_disk / "ballast").write_bytes(bytes(1 << 20))
    command = [sys.executable, "-c", NO_ROOM, str(small_disk)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No space left" in done.stdout or "full" in done.stdout
    number = int(done.stdout.split()[-1])
    assert number > 20
    assert verify(small_disk / "live").entries == number + 1


# rights, which the superuser has all of: the process gives them up

AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
from medha_core import *
# Loads what lies where nobody may read: the first store reads the guard's words.
warm = Medha("c", HashingEmbedder(32), settings=Settings(_env_file=None))
warm.start_sync(), warm.store_sync("How many?", "SELECT 1")
warm.search_sync("How many of them?"), warm.close_sync()
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
folder = Path(sys.argv[1])

async def attempt(label, cache):
    try:
        async with cache:
            print(label, "->", (await cache.search("How many are there?")).generated_query)
    except MedhaError as error:
        print(label, "->", type(error).__name__, error)

def opened(name, mode):
    return Medha.open(folder / name, mode=mode, collection_name="c", embedder=HashingEmbedder(32))

async def main():
    for name in ("live", "kept"):
        for mode in ("r", "c", "r+"):
            await attempt(f"{name} {mode}", opened(name, mode))
    for name, mode in (("hidden", "r"), ("closed", "r"), ("closed", "r+")):
        await attempt(f"{name} {mode}", opened(name, mode))
    settings = Settings(_env_file=None, path=folder / "new")
    await attempt("new", Medha("c", HashingEmbedder(32), settings=settings))
    async with opened("kept", "r") as cache:
        try:
            await cache.snapshot(folder / "copy")
        except SnapshotError as error:
            print("snapshot ->", error)

asyncio.run(main())
"""


@pytest.fixture
def reachable():
    """A folder that everybody may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@needs_fork
async def test_folders_that_may_only_be_read_are_read(reachable):
    settings = Settings(_env_file=None, path=reachable / "live")
    async with Medha("c", HashingEmbedder(32), settings=settings) as cache:
        await cache.store("How many are there?", "SELECT 1")
        await cache.snapshot(reachable / "kept")
    shutil.copytree(reachable / "kept", reachable / "hidden")
    shutil.copytree(reachable / "kept", reachable / "closed")
    (reachable / "hidden" / "entries.db").chmod(0)
    closed = (reachable / "live", reachable / "kept", reachable)
    for folder in closed:
        folder.chmod(0o555)
    (reachable / "closed").chmod(0)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", AS_NOBODY, str(reachable)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env=environment, cwd="/"
    )
    for folder in (*closed, reachable / "closed"):
        folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" -> ", 1) for line in done.stdout.splitlines())
    for label in ("live r", "live c", "kept r", "kept c"):
        assert said[label] == "SELECT 1"
    for label in ("live r+", "kept r+"):
        assert "cannot write in" in said[label]
        assert "Permission denied" in said[label]
    for label in ("hidden r", "closed r", "closed r+", "new"):
        assert said[label].startswith("Storage")
        assert "ermission denied" in said[label]
    assert "Permission denied" in said["snapshot"]


async def test_a_folder_removed_while_open_gives_errors_of_ours_or_answers(tmp_path):
    settings = Settings(_env_file=None, path=tmp_path / "live")
    cache = Medha("c", HashingEmbedder(32), settings=settings)
    await cache.start()
    await cache.store("How many are there?", "SELECT 1")
    shutil.rmtree(tmp_path / "live")
    hit = await cache.search("How many are there?")
    assert hit.generated_query == "SELECT 1" or hit.strategy is SearchStrategy.ERROR
    assert await cache.store("And now?", "SELECT 2") in (True, False)
    with pytest.raises(StorageError):
        await cache.snapshot(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    await cache.close()


# threads


@pytest.mark.parametrize("disk", [False, True])
def test_64_threads_store_search_and_snapshot(tmp_path, disk):
    settings = Settings(_env_file=None, path=tmp_path / "live" if disk else None, max_entries=5000)
    cache = Medha("c", HashingEmbedder(32), settings=settings)
    cache.start_sync()

    def work(number):
        for step in range(6):
            question = f"Where is machine {number} in hall {step}?"
            assert cache.store_sync(question, f"SELECT {number}, {step}")
            assert cache.search_sync(question).generated_query == f"SELECT {number}, {step}"
        if number % 16 == 0:
            cache.snapshot_sync(tmp_path / f"kept-{number}")
            verify(tmp_path / f"kept-{number}")

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(work, range(64)))
    assert cache.stats_sync().backend_count == 64 * 6
    cache.close_sync()
    if disk:
        assert verify(tmp_path / "live").entries == 64 * 6
