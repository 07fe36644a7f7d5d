"""Builds `medha_core._core` from ext/; everything else about the package is in pyproject.toml.

hnswlib's headers are not part of this repository. They are looked for in this order: the folder
`$HNSWLIB_INCLUDE`; `ext/include` inside our own source distribution; the pinned source
distribution of hnswlib, fetched with pip, checked against its hash and unpacked into `build/`.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
HNSWLIB = "0.8.0"
HNSWLIB_SHA256 = "cb6d037eedebb34a7134e7dc78966441dfd04c9cf5ee93911be911ced951c44c"
SHIPPED_HEADERS = ROOT / "ext" / "include"
FETCHED_HEADERS = ROOT / "build" / f"hnswlib-{HNSWLIB}"

UNIX_FLAGS = ["-O3", "-std=c++17", "-fvisibility=hidden", "-g0"]
MSVC_FLAGS = ["/O2", "/std:c++17", "/EHsc"]


def usable(include: Path) -> bool:
    """Whether `include` holds headers with the filter functor that the index derives from."""
    header = include / "hnswlib" / "hnswlib.h"
    return header.is_file() and "class BaseFilterFunctor" in header.read_text("utf-8", "replace")


def find_headers() -> Path:
    """The include folder for hnswlib; ends the build with one sentence when there is none."""
    chosen = os.environ.get("HNSWLIB_INCLUDE")
    if not chosen:
        return SHIPPED_HEADERS if usable(SHIPPED_HEADERS) else fetch_headers()
    if not usable(Path(chosen)):
        sys.exit(
            f"HNSWLIB_INCLUDE={chosen} must hold hnswlib/hnswlib.h of version {HNSWLIB} "
            "(one that declares BaseFilterFunctor): correct it, or unset it to fetch the headers."
        )
    return Path(chosen)


def fetch_headers() -> Path:
    """The headers of the pinned hnswlib, fetched once into `build/`."""
    if usable(FETCHED_HEADERS):
        return FETCHED_HEADERS
    with tempfile.TemporaryDirectory() as folder:
        archive = download_hnswlib(Path(folder))
        unpacked = Path(folder) / "unpacked"
        unpack_headers(archive, unpacked)
        shutil.rmtree(FETCHED_HEADERS, ignore_errors=True)
        shutil.copytree(unpacked, FETCHED_HEADERS)
    return FETCHED_HEADERS


def download_hnswlib(folder: Path) -> Path:
    """Fetch the source distribution with pip, which compares its hash with the pinned one."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"hnswlib=={HNSWLIB} --hash=sha256:{HNSWLIB_SHA256}\n")
    options = ["--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "download", *options, "-d", str(folder), "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (errors or done.stderr.splitlines() or ["pip failed"])[-1].strip()
        sys.exit(
            f"Building medha-core needs the C++ headers of hnswlib {HNSWLIB}, and pip could not fetch them "
            f"({reason}): connect to a package index, or set HNSWLIB_INCLUDE to a folder that holds "
            "hnswlib/hnswlib.h."
        )
    return next(folder.glob("hnswlib-*.tar.gz"))


def unpack_headers(archive: Path, target: Path) -> None:
    """Write the archive's headers, with the licence beside them, to `target/hnswlib`."""
    wanted = re.compile(rf"hnswlib-{re.escape(HNSWLIB)}/(?:hnswlib/[a-z0-9_]+\.h|LICENSE)")
    (target / "hnswlib").mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and wanted.fullmatch(member.name):
                (target / "hnswlib" / Path(member.name).name).write_bytes(tar.extractfile(member).read())


class BuildExtension(build_ext):
    """Translates ext/_core.pyx to C++ and compiles it."""

    def build_extensions(self):
        # Imported here: reading the package's metadata needs no Cython.
        from Cython.Build import cythonize

        headers = find_headers()
        msvc = self.compiler.compiler_type == "msvc"
        for extension in self.extensions:
            extension.include_dirs += [str(ROOT / "ext"), str(headers)]
            extension.extra_compile_args += MSVC_FLAGS if msvc else UNIX_FLAGS
            translated = cythonize([extension], build_dir="build/cython", language_level=3)
            extension.sources = translated[0].sources
        super().build_extensions()


class SourceDistribution(sdist):
    """Adds hnswlib's headers and licence, so that the source distribution builds offline."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        headers = SHIPPED_HEADERS if usable(SHIPPED_HEADERS) else fetch_headers()
        target = Path(base_dir) / "ext" / "include" / "hnswlib"
        shutil.copytree(headers / "hnswlib", target, dirs_exist_ok=True)


def native_sources() -> list[str]:
    """What a change of makes the extension out of date."""
    return sorted(str(path.relative_to(ROOT)) for path in (ROOT / "ext").glob("*.*p*"))


if __name__ == "__main__":
    core = Extension("medha_core._core", ["ext/_core.pyx"], depends=native_sources(), language="c++")
    setup(ext_modules=[core], cmdclass={"build_ext": BuildExtension, "sdist": SourceDistribution})
