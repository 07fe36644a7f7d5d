"""The command `medha`, run as its users run it: in a process of its own."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pytest

import medha_core
from command_line import Result, environment_of, run
from medha_core import NativeBackend, demo

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def medha(tmp_path):
    return partial(run, tmp_path)


@pytest.fixture
def entries(tmp_path):
    """A file with three entries."""
    rows = [
        {"question": "How many customers do we have?", "generated_query": "SELECT COUNT(*) FROM customers"},
        {"question": "List the cities in Łódź county", "generated_query": "SELECT name FROM cities -- Łódź"},
        {"question": "What did order 42 cost?", "generated_query": "SELECT total FROM orders WHERE id = 42"},
    ]
    path = tmp_path / "entries.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


COMMANDS = (
    "demo warm search explain tune doctor models snapshot stats export health invalidate "
    "invalidate-collection expire dedup feedback logo"
).split()

# What the command itself says


def test_version(medha):
    result = medha("--version")
    assert (result.code, result.out) == (0, f"medha-core {medha_core.__version__}\n")


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_names_every_command(medha, arguments):
    result = medha(*arguments)
    assert result.code == 0
    for name in COMMANDS:
        assert name in result.out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("serach", "x"), "serach"),
        (("search",), "question"),
        (("search", "x", "--nonsense"), "--nonsense"),
        (("warm", "x", "--batch-size", "many"), "--batch-size"),
        (("models", "polish"), "polish"),
    ],
)
def test_a_bad_command_line_is_one_line_and_code_2(medha, arguments, named):
    result = medha(*arguments)
    assert result.code == 2
    assert result.out == ""
    assert named in result.error_line.lower()


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra_one_sentence_names_it(tmp_path, package):
    blocked = (
        f"import sys; sys.modules[{package!r}] = None; from medha_core.cli import main; sys.exit(main())"
    )
    finished = subprocess.run(
        [sys.executable, "-c", blocked],
        env=environment_of({}),
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert finished.returncode == 2
    assert "medha-core[cli]" in Result(finished).error_line


# warm and search


def test_what_one_process_warms_another_finds(medha, entries, tmp_path):
    cache = tmp_path / "cache"
    warmed = medha("warm", entries, "--path", cache, "--model", "hashing")
    assert (warmed.code, warmed.out, warmed.err) == (0, "3 entries stored in collection 'default'\n", "")

    found = medha("search", "How many customers do we have?", "--path", cache, "--model", "hashing")
    assert (found.code, found.out) == (0, "SELECT COUNT(*) FROM customers\n")
    assert "exact_match" in found.error_line


def test_the_environment_names_the_directory_too(medha, entries, tmp_path):
    place = {"MEDHA_PATH": str(tmp_path / "cache"), "MEDHA_EMBEDDER_TYPE": "hashing"}
    assert medha("warm", entries, **place).code == 0
    assert medha("search", "What did order 42 cost?", **place).out.endswith("id = 42\n")


def test_collections_are_apart(medha, entries, tmp_path):
    here = ("--path", tmp_path / "cache", "--model", "hashing")
    assert medha("warm", entries, "--collection", "Shop A", *here).code == 0
    assert medha("search", "What did order 42 cost?", "--collection", "Shop A", *here).code == 0
    unknown = medha("search", "What did order 42 cost?", "--collection", "shop a", *here)
    assert (unknown.code, "no collection 'shop a'; it has ['Shop A']" in unknown.error_line) == (2, True)


def test_a_snapshot_is_saved_shown_checked_and_searched(medha, entries, tmp_path):
    live, kept = tmp_path / "live", tmp_path / "kept"
    assert medha("warm", entries, "--path", live, "--model", "hashing", "--collection", "c").code == 0
    saved = medha("snapshot", "save", live, kept)
    assert (saved.code, saved.out.splitlines()[0]) == (0, f"{kept} saved: 3 entries in 1 collections")
    assert medha("snapshot", "info", live).code == 0
    assert medha("snapshot", "info", kept, "--json").json["collections"][0]["entries"] == 3
    assert medha("snapshot", "verify", kept, "--json").json["entries"] == 3
    shutil.copytree(kept, tmp_path / "copy")
    here = ("--path", tmp_path / "copy", "--model", "hashing", "--collection", "c")
    assert medha("search", "What did order 42 cost?", *here).code == 0


def test_a_snapshot_becomes_a_cache_again(medha, entries, tmp_path):
    live, kept, again = tmp_path / "live", tmp_path / "kept", tmp_path / "again"
    medha("warm", entries, "--path", live, "--model", "hashing")
    medha("snapshot", "save", live, kept)
    assert "3 entries" in medha("snapshot", "load", kept, again).out
    assert medha("search", "What did order 42 cost?", "--path", again, "--model", "hashing").code == 0
    assert "--replace" in medha("snapshot", "load", kept, again).error_line
    assert medha("snapshot", "load", kept, again, "--replace", "--json").json["entries"] == 3
    assert "choose another" in medha("snapshot", "load", kept, entries.parent, "--replace").error_line


def test_caches_and_snapshots_are_compacted(medha, entries, tmp_path):
    live, kept = tmp_path / "live", tmp_path / "kept"
    medha("warm", entries, "--path", live, "--model", "hashing")
    medha("snapshot", "save", live, kept)
    for folder in (live, kept):
        assert "bytes before" in medha("snapshot", "compact", folder).out
        assert medha("snapshot", "compact", folder, "--json").json["bytes_after"] > 0
        assert medha("snapshot", "verify", folder).code == 0
    assert "holds no snapshot" in medha("snapshot", "compact", tmp_path / "none").error_line


def test_asking_takes_no_lock_and_writes_nothing(medha, entries, tmp_path):
    live = tmp_path / "live"
    medha("warm", entries, "--path", live, "--model", "hashing")
    before = (live / "entries.db").read_bytes()
    for command in ("search", "explain"):
        assert medha(command, "What did order 42 cost?", "--path", live, "--model", "hashing").code == 0
    assert (live / "entries.db").read_bytes() == before
    store = NativeBackend(live)
    asyncio.run(store.connect())
    assert medha("search", "What did order 42 cost?", "--path", live, "--model", "hashing").code == 0
    asyncio.run(store.close())


def test_a_damaged_snapshot_is_named(medha, entries, tmp_path):
    live, kept = tmp_path / "live", tmp_path / "kept"
    medha("warm", entries, "--path", live, "--model", "hashing")
    medha("snapshot", "save", live, kept)
    data = bytearray((kept / "entries.db").read_bytes())
    data[-1] ^= 1
    (kept / "entries.db").write_bytes(data)
    result = medha("snapshot", "verify", kept)
    assert result.code == 2
    assert "entries.db is damaged: expected checksum" in result.error_line
    assert "holds no snapshot" in medha("snapshot", "info", tmp_path / "none").error_line
    assert "choose another" in medha("snapshot", "save", kept, live).error_line


def test_a_miss_is_code_1_and_an_empty_standard_output(medha, entries):
    result = medha("search", "What did order 42 not cost?", "--warm", entries, "--model", "hashing")
    assert (result.code, result.out) == (1, "")
    assert "no stored question matches" in result.error_line


def test_an_empty_cache_says_so(medha):
    result = medha("search", "anything", "--model", "hashing")
    assert result.code == 1
    assert "the cache is empty" in result.err


def test_search_as_json(medha, entries):
    result = medha(
        "search", "List the cities in Łódź county", "--warm", entries, "--model", "hashing", "--json"
    )
    assert result.code == 0
    assert result.json["hit"] is True
    assert result.json["strategy"] == "l1_cache"
    assert result.json["generated_query"] == "SELECT name FROM cities -- Łódź"
    assert result.json["confidence"] == pytest.approx(1.0, abs=0.01)
    assert result.json["milliseconds"] > 0


def test_a_miss_as_json(medha, entries):
    result = medha("search", "What did order 42 not cost?", "--warm", entries, "--model", "hashing", "--json")
    assert result.code == 1
    assert result.json["hit"] is False
    assert result.json["strategy"] == "no_match"


def test_explain_says_why_a_question_is_answered(medha, entries):
    told = medha("explain", "how many customers do we have", "--warm", entries, "--model", "hashing")
    assert told.code == 0
    assert told.out.splitlines()[:2] == [
        "Asked: how many customers do we have",
        "Answered: SELECT COUNT(*) FROM customers",
    ]
    assert "It says the same words." in told.out


def test_explain_says_why_a_question_is_not_answered(medha, entries):
    asked = ("explain", "How many customers do we not have?", "--warm", entries, "--model", "hashing")
    told = medha(*asked)
    assert told.code == 1
    lines = told.out.splitlines()
    assert lines[1] == "Not answered."
    assert lines[2].endswith(": How many customers do we have?")
    assert lines[3] == "Refused. Only one of the two has a word that changes what is computed (not)."
    as_json = medha(*asked, "--json").json
    assert as_json["answered"] is False
    assert as_json["sentences"] == lines[1:]
    assert as_json["candidates"][0]["verdict"] == "operator"


def test_explain_says_when_nothing_is_near_or_stored(medha, entries, tmp_path):
    told = medha("explain", "zzz xxx", "--warm", entries, "--model", "hashing")
    assert told.out.splitlines()[1:] == [
        "Not answered.",
        "No stored question lies near enough to be compared.",
    ]
    assert "The cache is empty." in medha("explain", "zzz", "--model", "hashing").out
    lost = medha("explain", "zzz", "--model", "hashing", "--path", tmp_path / "nowhere")
    assert lost.code == 2
    assert "no cache in" in lost.error_line


@pytest.fixture
def wordings(tmp_path):
    """A file in which two questions have one query, and others have queries of their own."""
    rows = [
        {"question": "How many customers do we have?", "generated_query": "SELECT 1"},
        {"question": "How many customers we do have", "generated_query": "SELECT 1"},
        {"question": "Which lamps are red?", "generated_query": "SELECT 2"},
        {"question": "Which lamps are blue?", "generated_query": "SELECT 3"},
    ]
    path = tmp_path / "wordings.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_tune_prints_a_table_and_what_to_set(medha, wordings):
    told = medha("tune", wordings, "--model", "hashing", "--max-error-rate", "0.5", "--out", "c.json")
    assert told.code == 0
    assert told.out.startswith("2 questions asked (guard: balanced)\n")
    assert "MEDHA_MAX_ERROR_RATE=0.5 MEDHA_CALIBRATION_FILE=c.json" in told.out
    assert told.err == "medha: wrote c.json\n"
    settings = {"MEDHA_MAX_ERROR_RATE": "0.5", "MEDHA_CALIBRATION_FILE": "c.json"}
    assert medha("search", "Which lamps?", "--warm", wordings, "--model", "hashing", **settings).code == 1


def test_tune_says_what_cannot_be_promised(medha, wordings):
    as_json = medha("tune", wordings, "--model", "hashing", "--json").json
    assert (as_json["lookups"], as_json["max_error_rate"], as_json["confidence"]) == (2, 0.02, None)
    assert "cannot be promised" in as_json["advice"][0]


def test_tune_draws_a_picture(medha, wordings, tmp_path):
    pytest.importorskip("matplotlib")
    assert medha("tune", wordings, "--model", "hashing", "--plot", "c.png").code == 0
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    refused = medha("tune", wordings, "--model", "hashing", "--plot", "c.nothing")
    assert refused.code == 2
    assert "--plot c.nothing" in refused.err


def test_tune_names_the_extra_that_draws(wordings, tmp_path):
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from medha_core.cli import main\n"
        "sys.argv[1:] = ['tune', sys.argv[1], '--model', 'hashing', '--plot', 'c.png']; sys.exit(main())"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(wordings)],
        cwd=tmp_path,
        env=environment_of({}),
        capture_output=True,
        encoding="utf-8",
    )
    result = Result(finished)
    assert result.code == 2
    assert result.error_line == "medha: --plot needs matplotlib: pip install 'medha-core[plot]'"


def test_explain_shows_the_steps_and_the_refused_neighbour(medha, entries):
    asked = ("search", "What did order 42 not cost?", "--warm", entries, "--model", "hashing", "--explain")
    text = medha(*asked)
    assert text.code == 1
    assert "What did order 42 cost?" in text.out
    seen = medha(*asked, "--json").json["explanation"]
    questions = [candidate["question"] for step in seen["steps"] for candidate in step["candidates"]]
    assert "What did order 42 cost?" in questions


def test_warm_as_json_and_a_json_array(medha, entries, tmp_path):
    rows = [json.loads(line) for line in entries.read_text(encoding="utf-8").splitlines()]
    array = tmp_path / "entries.json"
    array.write_text(json.dumps(rows), encoding="utf-8")
    result = medha("warm", array, "--model", "hashing", "--collection", "c", "--json")
    assert result.code == 0
    assert result.json == {"stored": 3, "file": str(array), "collection": "c"}


def test_warming_memory_says_that_nothing_is_kept(medha, entries):
    result = medha("warm", entries, "--model", "hashing")
    assert result.code == 0
    assert "--path" in result.error_line


# Bad input: one line on standard error, code 2


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"question": "a", "generated_query": "b"}\n{"question": "c", \n', "line 2"),
        ('{"question": "a", "generated_query": "b"}\n\n[1, 2]\n', "line 3"),
        ('[{"question": "a", "generated_query": "b"},\n {]', "line 2"),
        ('{"question": "a"}\n', "generated_query"),
        ('\n{"question": "a", "generated_query": ' + "9" * 5000 + "}", "line 2"),
        ('{"question": ' + "[" * 200_000 + "]" * 200_000 + "}", "line 1"),
        ("[" * 200_000, "broken.jsonl"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(medha, tmp_path, content, named):
    path = tmp_path / "broken.jsonl"
    path.write_text(content, encoding="utf-8")
    result = medha("warm", path, "--model", "hashing")
    assert (result.code, result.out) == (2, "")
    assert named in result.error_line


def test_a_missing_file(medha):
    result = medha("warm", "nowhere.jsonl", "--model", "hashing")
    assert result.code == 2
    assert "nowhere.jsonl" in result.error_line


@pytest.mark.parametrize("question", ["", "   ", "x" * 9000])
def test_a_question_that_cannot_be_asked(medha, entries, question):
    result = medha("search", question, "--warm", entries, "--model", "hashing")
    assert (result.code, result.out) == (2, "")
    assert "question" in result.error_line


def test_a_question_that_cannot_be_asked_as_json(medha, entries):
    result = medha("search", " ", "--warm", entries, "--model", "hashing", "--json")
    assert result.code == 2
    assert result.json["strategy"] == "error"
    assert result.json["error"]


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are UTF-16 there")
def test_a_question_in_no_encoding(medha, entries):
    result = medha(
        "search",
        b"caf\xe9 orders".decode("utf-8", "surrogateescape"),
        "--warm",
        entries,
        "--model",
        "hashing",
    )
    assert result.code in (1, 2)
    assert "Traceback" not in result.err


def test_a_bad_setting_is_named(medha):
    result = medha("search", "x", "--model", "hashing", MEDHA_SCORE_THRESHOLD_EXACT="7")
    assert result.code == 2
    assert "score_threshold_exact" in result.error_line


def test_an_embedder_without_its_key(medha):
    result = medha("search", "x", MEDHA_EMBEDDER_TYPE="openai", OPENAI_API_KEY="")
    assert result.code == 2
    assert "OPENAI_API_KEY is not set" in result.error_line


def test_a_path_that_is_a_file(medha, entries):
    result = medha("search", "x", "--path", entries, "--model", "hashing")
    assert result.code == 2
    assert str(entries) in result.error_line


def test_a_path_that_is_not_there_is_not_made(medha, tmp_path):
    result = medha("search", "x", "--path", tmp_path / "none", "--model", "hashing")
    assert result.code == 2
    assert "medha warm FILE" in result.error_line
    assert not (tmp_path / "none").exists()


def test_a_model_nobody_knows(medha):
    result = medha("search", "x", "--model", "no-such-model")
    assert result.code == 2
    assert "no-such-model" in result.error_line


# Terminals


def test_nothing_but_the_answer_goes_into_a_pipe(medha, entries, tmp_path):
    warmed = medha("warm", entries, "--path", tmp_path / "cache", "--model", "hashing", FORCE_COLOR="1")
    assert warmed.err == ""
    assert "\x1b" not in warmed.out


@pytest.fixture
def on_terminal(tmp_path):
    """Runs a command on a terminal of its own; what it showed there."""
    pty = pytest.importorskip("pty")

    def run(*arguments, **environment):
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            [sys.executable, "-m", "medha_core.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=environment_of({"TERM": "xterm-256color"} | environment),
            stdout=theirs,
            stderr=theirs,
        ):
            os.close(theirs)
            shown = b"".join(_read_all(ours))
        os.close(ours)
        return shown.decode("utf-8")

    return run


def _read_all(descriptor):
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # how Linux tells the end of a terminal
            return
        if not part:
            return
        yield part


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9]m")


def test_a_terminal_shows_progress(on_terminal, entries):
    assert "storing entries.jsonl" in on_terminal("warm", entries, "--model", "hashing")


def test_a_terminal_shows_colours_unless_told_not_to(on_terminal):
    assert COLOUR.search(on_terminal("demo"))
    assert not COLOUR.search(on_terminal("demo", NO_COLOR="1"))


# doctor


def test_doctor_examines_the_machine(medha):
    result = medha("doctor", "--json")
    assert result.code == 0
    report = result.json
    assert report["medha_core"] == medha_core.__version__
    assert report["python"].endswith(".".join(map(str, sys.version_info[:3])))
    assert report["simd"]["running"] in report["simd"]["available"]
    assert report["self_test"] == {"passed": True, "problem": None}


def test_doctor_as_text(medha):
    result = medha("doctor")
    assert result.code == 0
    assert re.search(r"^self-test +passed$", result.out, re.MULTILINE)
    assert re.search(r"^simd +\w+ runs", result.out, re.MULTILINE)
    assert all(re.match(r"\[[a-z-]+\] ", line) for line in result.out.splitlines() if line[0] == "[")


def test_doctor_reports_a_bad_setting_and_goes_on(medha):
    result = medha("doctor", "--json", MEDHA_BATCH_SIZE="0")
    assert result.code == 2
    assert "batch_size" in result.json["settings"]["problem"]
    assert result.json["self_test"]["passed"]


def test_doctor_tells_an_absent_model(medha, tmp_path):
    result = medha("doctor", MEDHA_MODEL_DIR=str(tmp_path / "none"))
    assert result.code == 0
    assert "medha models pull" in result.out


def test_doctor_knows_the_extras_of_the_package():
    from medha_core.cli.doctor import OPTIONAL

    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {
        extra: tuple(
            re.match(r"[\w-]+", requirement)[0]
            for requirement in requirements
            if not requirement.startswith("medha-core[")
        )
        for extra, requirements in declared["optional-dependencies"].items()
        if extra not in ("all", "test", "dev", "bench")
    }
    assert {extra: packages for extra, packages in wanted.items() if packages} == OPTIONAL


# The model


def test_models(medha):
    assert medha("models", "pull").code == 0
    listed = medha("models", "list", "--json").json["models"]
    assert {model["name"]: model["present"] for model in listed}["all-MiniLM-L6-v2"] is True
    assert medha("models", "verify").code == 0
    assert Path(medha("models", "path").out.strip()).is_dir()


def test_a_model_that_is_not_there_cannot_be_verified(medha, tmp_path):
    result = medha("models", "verify", MEDHA_MODEL_DIR=str(tmp_path / "none"))
    assert result.code == 2
    assert "medha models pull" in result.error_line


def test_the_demonstration_runs_whole(medha):
    result = medha("demo")
    assert result.code == 0, result.out
    assert f"{len(demo.pairs())} questions stored, 25 asked" in result.out
    assert "20 hits with the right query, 0 wrong answers, 5 honest misses, 0 unanswered" in result.out


def test_the_demonstration_as_json_runs_each_query(medha):
    report = medha("demo", "--json").json
    assert report["as_expected"] is True
    by_question = {answer["question"]: answer for answer in report["answers"]}
    assert by_question["What is the total number of customers we have?"]["first_row"] == [48]
    assert by_question["What was our total revenue before 2023?"]["first_row"] is None


def test_search_with_the_real_model(medha):
    with demo.pairs_file() as sample:
        result = medha("search", "What is the highest refund we have ever paid?", "--warm", sample)
    assert result.out == "SELECT MAX(refund) FROM returns\n"


def test_a_cache_gets_another_model(medha, entries, tmp_path):
    live = tmp_path / "live"
    medha("warm", entries, "--path", live, "--model", "hashing")
    assert "medha reembed" in medha("search", "What?", "--path", live).error_line
    done = medha("reembed", live, "--batch-size", 2, "--json").json
    assert (done["entries"], done["resumed"]) == (3, 0)
    assert medha("search", "What did order 42 cost?", "--path", live).code == 0
    assert "3 entries embedded, 3 of them by an earlier run" in medha("reembed", live).out
