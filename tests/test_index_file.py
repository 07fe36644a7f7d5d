"""The index file: what is saved opens as it was, and what is damaged is refused."""

import gzip
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from medha_core import _twin, index_file, native
from medha_core.errors import ArgumentTypeError, ArgumentValueError, SnapshotError, StorageError

DIMENSION = 40
FORMATS = Path(__file__).parent / "data" / "index_formats"


def vectors(n: int, dimension: int = DIMENSION, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dimension), np.float32)


def filled(make, quantization="int8", dimension=DIMENSION):
    """Entries in the graph, tombstones among them, and entries still found by scan."""
    index = make(dimension, quantization=quantization, graph_from=0, M=5)
    index.add(np.arange(300) * 7, vectors(300, dimension))
    index.join(200)
    index.remove(np.arange(0, 300, 21))
    return index


def answers(index, n=20):
    found = [index.search(query, 5, ef=300) for query in vectors(n, index.dimension, seed=1)]
    return [(labels.tolist(), scores.tolist()) for labels, scores in found]


@pytest.fixture(params=["extension", "twin"] if native.extension_loaded else ["twin"])
def make(request):
    return native.VectorIndex if request.param == "extension" else _twin.VectorIndex


@pytest.fixture
def saved(make, tmp_path):
    path = tmp_path / "index.bin"
    filled(make).save(path)
    return path


@pytest.mark.parametrize("quantization", ["int8", "float32", "binary"])
@pytest.mark.parametrize("mode", ["r", "c"])
def test_answers_as_before_it_was_saved(make, tmp_path, quantization, mode):
    index = filled(make, quantization)
    index.save(tmp_path / "index.bin")
    opened = make.open(tmp_path / "index.bin", mode=mode, verify=True)
    assert answers(opened) == answers(index)
    assert opened.labels().tolist() == index.labels().tolist()
    assert (opened.dimension, opened.quantization, opened.tier) == (DIMENSION, quantization, "auto")


def test_changes_after_opening_are_as_without_it(make, saved):
    index, opened = filled(make), make.open(saved, mode="c")
    for one in (index, opened):
        one.add(np.arange(5000, 5400), vectors(400, seed=2))
        one.add(np.arange(21, 200, 7), vectors(26, seed=3))
        one.remove(np.arange(700, 1000))
        assert one.join() > 0
    assert answers(opened) == answers(index)
    index.compact()
    opened.compact()
    assert answers(opened) == answers(index)


def test_changes_stay_in_memory(make, saved):
    opened = make.open(saved, mode="c")
    opened.remove(opened.labels())
    opened.add(1, vectors(1))
    assert make.open(saved, verify=True).labels().tolist() == filled(make).labels().tolist()


def test_a_note_comes_back(make, saved, tmp_path):
    assert make.open(saved).note == filled(make).note == b""
    filled(make).save(tmp_path / "noted.bin", note=b"\0last label 7")
    assert make.open(tmp_path / "noted.bin", verify=True).note == b"\0last label 7"
    with pytest.raises(ArgumentValueError, match="note"):
        filled(make).save(saved, note=b"x" * 4000)
    with pytest.raises(ArgumentTypeError, match="note"):
        filled(make).save(saved, note="text")


def test_an_empty_index_is_saved_too(make, tmp_path):
    make(DIMENSION).save(tmp_path / "index.bin")
    opened = make.open(tmp_path / "index.bin", mode="c", verify=True)
    assert len(opened) == 0
    opened.add(3, vectors(1))
    assert opened.search(vectors(1)[0], 5)[0].tolist() == [3]


def test_read_only_refuses_changes(make, saved):
    index = make.open(saved)
    acts = [
        lambda: index.add(1, vectors(1)),
        lambda: index.remove(0),
        lambda: index.join(),
        lambda: index.compact(),
        lambda: index.reserve(10_000),
    ]
    for act in acts:
        with pytest.raises(StorageError, match="read-only"):
            act()
    assert answers(index) == answers(filled(make))


def test_saving_over_an_open_file_leaves_it_as_it_was(make, saved):
    index = make.open(saved)
    before = answers(index)
    make(DIMENSION).save(saved)
    assert answers(index) == before
    assert len(make.open(saved)) == 0


def test_a_mapped_index_can_be_saved_to_its_own_path(make, saved):
    index = make.open(saved, mode="c")
    index.add(1, vectors(1))
    index.save(saved)
    assert 1 in make.open(saved, verify=True)


@pytest.mark.skipif(not native.extension_loaded, reason="the extension is switched off")
@pytest.mark.parametrize("quantization", ["int8", "float32", "binary"])
@pytest.mark.parametrize("dimension", [6, 130, 384, 700])
def test_the_twin_reads_and_writes_the_same_format(tmp_path, dimension, quantization):
    index, path = filled(native.VectorIndex, quantization, dimension), tmp_path / "index.bin"
    index.save(path)
    for other in (_twin.VectorIndex, native.VectorIndex):
        opened = other.open(path, verify=True)
        assert opened.labels().tolist() == index.labels().tolist()
        for query in vectors(5, dimension):
            labels, scores = opened.search(query, 3, ef=300)
            expected = index.search(query, 3, ef=300)
            assert labels.tolist() == expected[0].tolist()
            np.testing.assert_allclose(scores, expected[1], atol=1e-6)
        opened.save(path)


def test_searches_and_changes_go_on_while_it_is_saved(make, tmp_path):
    index = filled(make)
    done = threading.Event()
    failures = []

    def search():
        while not done.is_set():
            if 7 not in index.search(vectors(300)[1], 1)[0]:
                failures.append("not found")

    def write():
        for label in range(10_000, 10_200):
            index.add(label, vectors(1, seed=label))

    others = [threading.Thread(target=search), threading.Thread(target=write)]
    for thread in others:
        thread.start()
    for number in range(5):
        index.save(tmp_path / f"{number}.bin")
    others[1].join()
    done.set()
    others[0].join()
    assert not failures
    for number in range(5):
        assert 7 in make.open(tmp_path / f"{number}.bin", verify=True)


def test_processes_open_the_same_file(saved, make):
    code = (
        "import sys; import numpy as np; from medha_core.native import VectorIndex\n"
        "index = VectorIndex.open(sys.argv[1])\n"
        "print(index.search(np.ones(40, np.float32), 3)[0].tolist())"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(saved)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    expected = make.open(saved).search(np.ones(DIMENSION, np.float32), 3)[0].tolist()
    assert [process.communicate()[0].strip() for process in running] == [str(expected)] * 2


# What is refused, and what it says.


def change(path, at, data):
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)


def header_of(path):
    with index_file.open_file(path) as file:
        return index_file.read_header(file, path)


def test_the_mode_is_checked(make, saved):
    with pytest.raises(ArgumentValueError, match="mode"):
        make.open(saved, mode="w")


def test_a_missing_file_and_a_missing_folder_are_said(make, tmp_path):
    with pytest.raises(SnapshotError, match="No such file"):
        make.open(tmp_path / "none.bin")
    with pytest.raises(SnapshotError, match="No such file"):
        filled(make).save(tmp_path / "none" / "index.bin")
    with pytest.raises(SnapshotError, match=r"cannot be read"):
        make.open(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"\x89", b"SQLite format 3\0" * 2000, b"\0" * 100_000])
def test_a_foreign_file_is_refused(make, tmp_path, content):
    path = tmp_path / "index.bin"
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match=r"not an index file|cut off"):
        make.open(path)


def test_a_newer_version_is_said(make, saved):
    change(saved, 8, (2).to_bytes(4, "little"))
    with pytest.raises(SnapshotError, match=r"newer medha_core: .* up to 1, not 2"):
        make.open(saved)


def test_a_damaged_header_is_refused(make, saved):
    change(saved, 60, b"\x55")
    with pytest.raises(SnapshotError, match="damaged header"):
        make.open(saved)


@pytest.mark.parametrize("section", index_file.Section)
def test_a_file_cut_in_any_section_names_both_lengths(make, saved, section):
    stretch = header_of(saved).sections[section]
    if stretch.length == 0:
        return
    end = stretch.offset + stretch.length - 1
    os.truncate(saved, end)
    with pytest.raises(SnapshotError, match=f"ends at byte .*{end}"):
        make.open(saved)


@pytest.mark.parametrize("section", index_file.Section)
def test_a_flipped_bit_is_found_by_verifying(make, saved, section):
    stretch = header_of(saved).sections[section]
    if stretch.length == 0:
        return
    at = stretch.offset + stretch.length // 2
    change(saved, at, bytes([saved.read_bytes()[at] ^ 4]))
    for check in (make.verify, lambda path: make.open(path, verify=True)):
        with pytest.raises(SnapshotError, match=f"section {section.name.lower()} has checksum"):
            check(saved)


def test_a_failed_save_leaves_the_old_file_and_no_other(make, saved, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr(index_file.os, "fsync", full)
    with pytest.raises(SnapshotError, match="No space left"):
        filled(make).save(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_damage_of_every_kind_is_refused_or_survived():
    """In a process of its own, which must live."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", Path(__file__).parent / "fuzz_index_file.py", "300"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_format_1_opens_for_ever(make, tmp_path):
    path = tmp_path / "index.bin"
    path.write_bytes(gzip.decompress((FORMATS / "index-1.bin.gz").read_bytes()))
    index = make.open(path, verify=True)
    assert len(index) == 256
    info = index.info()
    assert (info["graph"], info["scan"], info["tombstones"]) == (171, 85, 29)
    expected = np.load(FORMATS / "index-1.npz")
    for query, labels, scores in zip(
        expected["queries"], expected["labels"], expected["scores"], strict=True
    ):
        found = index.search(query, 5, ef=300)
        assert found[0].tolist() == labels.tolist()
        np.testing.assert_allclose(found[1], scores, atol=1e-6)
