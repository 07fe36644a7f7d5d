"""What is built and shipped. `.ci/run` builds the distributions themselves."""

import fnmatch
import importlib.util
import io
import os
import re
import tarfile
import tomllib
from pathlib import Path

import pytest

import medha_core

PACKAGE = Path(medha_core.__file__).parent


@pytest.fixture(scope="module")
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))


@pytest.fixture
def setup_script(repository):
    spec = importlib.util.spec_from_file_location("medha_setup", repository / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(requirements):
    return {re.match(r"[\w-]+", requirement)[0] for requirement in requirements}


def test_the_installed_package_is_tested_under_tox(repository):
    installed = not PACKAGE.is_relative_to(repository) or ".tox" in PACKAGE.parts
    assert installed or os.environ.get("MEDHA_TEST_INSTALLED") != "1", PACKAGE


def test_there_is_one_version(project):
    assert medha_core.__version__ == project["project"]["version"]


def test_the_plain_install_is_light(project):
    wanted = {"numpy", "xxhash", "cachetools", "rapidfuzz", "regex", "pydantic", "pydantic-settings"}
    assert names(project["project"]["dependencies"]) == wanted


def test_the_extras_are_there(project):
    extras = project["project"]["optional-dependencies"]
    assert {"onnx", "cli", "all", "test", "dev"} <= set(extras)
    assert not {"torch", "onnxruntime-gpu"} & names(r for group in extras.values() for r in group)


def test_every_data_file_is_declared_and_there(project, repository):
    patterns = project["tool"]["setuptools"]["package-data"]["medha_core"]
    source = repository / "medha_core"
    data = [p.relative_to(source) for p in source.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    data = [p for p in data if p.suffix not in {".py", ".so", ".pyd"}]
    undeclared = [p for p in data if not any(fnmatch.fnmatch(f"/{p.as_posix()}", f"*/{q}") for q in patterns)]
    assert not undeclared, "add a pattern to package-data in pyproject.toml"
    assert not [p for p in data if not (PACKAGE / p).is_file()]


def write_header(folder, text):
    (folder / "hnswlib").mkdir(parents=True)
    (folder / "hnswlib" / "hnswlib.h").write_text(text)
    return folder


def test_headers_are_known_by_what_they_offer(setup_script, tmp_path):
    new = write_header(tmp_path / "new", "class BaseFilterFunctor {};")
    old = write_header(tmp_path / "old", "// version 0.6")
    assert [setup_script.usable(folder) for folder in (new, old, tmp_path / "none")] == [True, False, False]


def test_the_named_folder_comes_first(setup_script, tmp_path, monkeypatch):
    chosen = write_header(tmp_path / "chosen", "class BaseFilterFunctor {};")
    monkeypatch.setenv("HNSWLIB_INCLUDE", str(chosen))
    assert setup_script.find_headers() == chosen


def test_a_named_folder_that_is_no_use_ends_the_build(setup_script, tmp_path, monkeypatch):
    monkeypatch.setenv("HNSWLIB_INCLUDE", str(tmp_path))
    with pytest.raises(SystemExit, match=r"must hold hnswlib/hnswlib\.h of version 0\.8\.0"):
        setup_script.find_headers()


def test_headers_in_our_source_distribution_come_second(setup_script, tmp_path, monkeypatch):
    monkeypatch.delenv("HNSWLIB_INCLUDE", raising=False)
    shipped = write_header(tmp_path / "shipped", "class BaseFilterFunctor {};")
    monkeypatch.setattr(setup_script, "SHIPPED_HEADERS", shipped)
    assert setup_script.find_headers() == shipped


def test_without_headers_and_network_one_sentence_says_what_to_do(setup_script, tmp_path, monkeypatch):
    monkeypatch.delenv("HNSWLIB_INCLUDE", raising=False)
    monkeypatch.setattr(setup_script, "SHIPPED_HEADERS", tmp_path / "shipped")
    monkeypatch.setattr(setup_script, "FETCHED_HEADERS", tmp_path / "fetched")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": "", "CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    with pytest.raises(SystemExit) as ended:
        setup_script.find_headers()
    assert re.search(r"pip could not fetch them.*set HNSWLIB_INCLUDE to a folder", str(ended.value))
    assert "\n" not in str(ended.value)
    assert not (tmp_path / "fetched").exists()


def test_only_headers_and_licence_leave_the_archive(setup_script, tmp_path):
    members = ["hnswlib/hnswlib.h", "hnswlib/../../evil.h", "LICENSE", "setup.py", "hnswlib/x.cpp"]
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        for member in members:
            tar.addfile(tarfile.TarInfo(f"hnswlib-0.8.0/{member}"), io.BytesIO())
    setup_script.unpack_headers(tmp_path / "a.tar.gz", tmp_path / "out")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["LICENSE", "a.tar.gz", "hnswlib.h"]


def test_the_headers_are_not_in_the_repository(repository):
    if (repository / "PKG-INFO").exists():
        pytest.skip("this is our source distribution, which carries them")
    assert not (repository / "ext" / "include").exists()
