"""The report on answer quality, on a few records of our own."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from medha_core.embeddings.models import DEFAULT_MODEL, model_path

FOLDER = Path(__file__).parents[1] / "benchmarks"


def benchmarks(name):
    """A module of the benchmarks, which are no part of what is installed."""
    if "benchmarks" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "benchmarks", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
        )
        sys.modules["benchmarks"] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"benchmarks.{name}")


quality = benchmarks("quality")

CITY = "SELECT city FROM shops WHERE name = '{}'"
STREAM = [
    {"id": i, "question": f"in which city is the shop {name}", "sql": CITY.format(name)}
    for i, name in enumerate(["Alma", "Bruno", "Alma", "Clara", "Bruno", "Alma"])
]
PAIR = {
    "kind": "polarity",
    "stored_question": "which shop has the largest stock",
    "stored_sql": "SELECT name FROM shops ORDER BY stock DESC LIMIT 1",
    "probe": "which shop has the smallest stock",
    "probe_sql": None,
}
TYPO = {**PAIR, "kind": "typo", "probe": "which shop has the largset stock", "probe_sql": PAIR["stored_sql"]}


@pytest.fixture
def files(tmp_path, require):
    require(model_path(DEFAULT_MODEL).is_dir(), f"needs the model {DEFAULT_MODEL}: medha models pull")
    paths = [tmp_path / "shops.jsonl", tmp_path / "shops.stress.jsonl"]
    for path, rows in zip(paths, (STREAM, [PAIR, TYPO]), strict=True):
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return paths


def test_a_stream_is_played_as_a_cache_lives_it(files):
    counts, wrong = quality.stream(quality.records(files[0]), quality.factory)
    assert counts["lookups"] == 6
    assert counts["hits"] == counts["right"] >= 3
    assert wrong == []


def test_pairs_count_what_is_right_and_what_is_wrong(files):
    kinds = quality.pairs(quality.records(files[1]), quality.factory)
    assert kinds["polarity"] == {"asked": 1}
    assert kinds["typo"] == {"asked": 1, "right": 1}


def test_the_report_shows_the_rules_alone_beside_the_verifier(files, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["quality", *map(str, files), "--rules"])
    quality.main()
    printed = capsys.readouterr().out
    assert printed.count("all streams") == 2
    assert "the rules alone, without the verifier" in printed


def test_the_verifiers_card_says_what_it_does_on_sets_it_has_not_seen():
    held_out = quality.shipped().card["held out"]
    assert len(held_out) >= 5
    assert all(line["rows"] for line in held_out)
