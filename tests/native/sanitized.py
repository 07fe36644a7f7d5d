"""Builds the extension with a sanitizer and runs its tests: `python tests/native/sanitized.py address`.

The build goes to a folder of its own; the extension in the working tree stays as it is. "address" looks for
errors of memory and undefined behaviour, "thread" for data races. Needs GCC or Clang on Linux.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INDEX = ["test_index.py", "test_index_file.py", "test_index_input.py", "test_index_threads.py"]
TESTS = {
    "address": [
        *INDEX,
        "test_guard_compiled.py",
        "test_query_reading.py",
        "test_kernels.py",
        "test_lru.py",
        "test_text.py",
        "test_vectors.py",
    ],
    "thread": ["test_index_threads.py", "test_index_file.py"],
}
FLAGS = {
    "address": "-fsanitize=address,undefined -fno-sanitize-recover=undefined",
    "thread": "-fsanitize=thread",
}
LIBRARIES = {"address": ["libasan.so", "libubsan.so"], "thread": ["libtsan.so"]}
IMPOSSIBLE = {
    # It limits the address space, of which the sanitizer reserves terabytes.
    "address": ["-k", "not gives_no_more_threads"],
    "thread": [],
}
OPTIONS = {
    # The interpreter keeps what it allocates for itself until the process ends.
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": f"exitcode=66:suppressions={ROOT / 'tests/native/tsan.txt'}",
}


def build(sanitizer: str, folder: Path) -> None:
    flags = f"{FLAGS[sanitizer]} -fno-omit-frame-pointer -O1"
    command = [
        sys.executable,
        "setup.py",
        "-q",
        "build",
        "--build-base",
        folder / "work",
        "--build-lib",
        folder,
    ]
    environment = os.environ | {"CFLAGS": flags, "CXXFLAGS": flags, "LDFLAGS": FLAGS[sanitizer]}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def library(name: str) -> str:
    compiler = os.environ.get("CC", "cc").split()[0]
    found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def run(sanitizer: str, folder: Path, options: list[str]) -> int:
    # The interpreter is not built with the sanitizer: its library must be there before everything else.
    names = [*LIBRARIES[sanitizer], "libstdc++.so.6"]
    preload = " ".join(library(name) for name in names)
    environment = (
        os.environ
        | OPTIONS
        | {
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "tests")]),
            "LD_PRELOAD": preload,
        }
    )
    files = [str(ROOT / "tests" / name) for name in TESTS[sanitizer]]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        str(ROOT / "pyproject.toml"),
        "-p",
        "no:cacheprovider",
        "--noconftest",  # it needs servers and their clients
        "-p",
        "cores",
        "-q",
    ]
    return subprocess.run(
        [*command, *files, *IMPOSSIBLE[sanitizer], *options], cwd=folder, env=environment
    ).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sanitizer", choices=FLAGS)
    arguments, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as name:
        build(arguments.sanitizer, Path(name))
        sys.exit(run(arguments.sanitizer, Path(name), rest))
