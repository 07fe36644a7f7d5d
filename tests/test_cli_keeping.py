"""The commands that look after a cache. Most run in this process; how they start is in test_cli.py."""

import csv
import io
import json
import re
import subprocess
import sys
import time
from functools import partial

import pytest
from pydantic import ValidationError

from command_line import call, environment_of, run
from medha_core import Settings
from medha_core.cli.output import settings_problem

ROWS = [
    {"question": "How many customers do we have?", "generated_query": "SELECT COUNT(*) FROM customers"},
    {"question": "How many clients exist?", "generated_query": "SELECT COUNT(*) FROM customers"},
    {
        "question": "What did order 42 cost?",
        "generated_query": "SELECT total FROM orders WHERE id = 42 -- Łódź",
        "response_summary": 'a "summary", quoted',
        "template_id": "t1",
        "metadata": {"tenant": "a", "year": 2023, "paid": True},
    },
]


@pytest.fixture
def medha(tmp_path):
    """The command, with a directory that holds three entries named by the environment."""
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    place = {"MEDHA_PATH": str(tmp_path / "cache"), "MEDHA_EMBEDDER_TYPE": "hashing"}
    command = partial(call, tmp_path, **place)
    assert command("warm", "rows.jsonl").code == 0
    return command


# stats


def test_stats_counts_entries_and_templates(medha, tmp_path):
    result = medha("stats", "--json")
    assert result.code == 0
    assert result.json == {
        "collection": "default",
        "backend_type": "native",
        "entries": 3,
        "templates": 0,
        "total_requests": None,
        "hit_rate": None,
        "hits_by_strategy": None,
    }
    template = {"intent": "i", "template_text": "t", "query_template": "SELECT 1"}
    (tmp_path / "templates.json").write_text(json.dumps([template] * 2))
    assert medha("stats", "--json", MEDHA_TEMPLATE_FILE="templates.json").json["templates"] == 2
    assert "entries           3" in medha("stats").out


def test_stats_says_who_counts_while_nobody_has(medha):
    assert medha("search", "How many customers do we have?").code == 0
    result = medha("stats")
    assert "total_requests    none yet" in result.out
    assert "`medha search` reads a directory and leaves no count" in result.error_line


ASK = """
import asyncio, sys
from medha_core import HashingEmbedder, Medha
async def main():
    async with Medha("default", HashingEmbedder()) as cache:
        for question in ("How many customers do we have?", "How many customers do we have?", "zzz"):
            await cache.search(question)
asyncio.run(main())
"""


def test_stats_says_what_other_processes_were_asked(medha, tmp_path):
    place = {"MEDHA_PATH": str(tmp_path / "cache")}
    subprocess.run([sys.executable, "-c", ASK], env=environment_of(place), cwd=tmp_path, check=True)
    told = medha("stats", "--json").json
    assert told["total_requests"] == 3
    assert told["hit_rate"] == pytest.approx(2 / 3, abs=1e-4)
    assert told["hits_by_strategy"] == {"exact_match": 1, "l1_cache": 1}
    assert medha("stats").err == ""


def test_stats_keeps_names_and_values_apart(medha):
    medha("feedback", "How many customers do we have?", "--incorrect")
    assert "error_rate_promised  none\n" in medha("stats").out


def test_a_cache_in_memory_cannot_be_looked_after(tmp_path):
    for command in (("stats",), ("expire",), ("export",), ("invalidate", "x"), ("dedup",)):
        result = call(tmp_path, *command)
        assert result.code == 2
        assert "--path DIRECTORY" in result.error_line


@pytest.mark.parametrize("command", [("stats",), ("expire",), ("export",), ("invalidate", "x"), ("dedup",)])
def test_a_collection_that_is_not_there_is_not_made(medha, command):
    result = medha(*command, "-c", "other")
    assert result.code == 2
    assert "no collection 'other'" in result.error_line
    assert "['default']" in result.error_line


def test_reading_commands_work_beside_a_writer_and_writing_ones_are_refused(medha, tmp_path):
    hold = (
        "import asyncio, sys\nfrom medha_core import HashingEmbedder, Medha\n"
        "async def main():\n"
        "    async with Medha('default', HashingEmbedder()):\n"
        "        print('open', flush=True); await asyncio.to_thread(sys.stdin.read)\n"
        "asyncio.run(main())"
    )
    place = environment_of({"MEDHA_PATH": str(tmp_path / "cache")})
    with subprocess.Popen(
        [sys.executable, "-c", hold], env=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "open\n"
        assert medha("stats", "--json").json["entries"] == 3
        assert medha("search", "How many clients exist?").code == 0
        assert medha("explain", "How many clients exist?").code == 0
        assert medha("export", "--format", "csv").code == 0
        assert medha("health").code == 0
        refused = medha("invalidate", "How many clients exist?")
        assert refused.code == 2
        assert str(writer.pid) in refused.error_line
        writer.stdin.close()


# search


def test_search_takes_filters_with_types(medha):
    asked = ("search", "What did order 42 cost?")
    assert medha(*asked).code == 1
    assert medha(*asked, "-f", "tenant=a", "--filter", "year=2023", "-f", "paid=true").code == 0
    assert medha(*asked, "-f", "tenant=b").code == 1
    assert medha(*asked, "-f", 'year="2023"').code == 1
    as_json = medha(*asked, "-f", "tenant=a", "--json").json
    assert as_json["metadata"] == ROWS[2]["metadata"]
    wrong = medha(*asked, "-f", "tenant")
    assert wrong.code == 2
    assert "KEY=VALUE" in wrong.error_line


# warm


def test_warm_ttl_ends_the_entries(medha):
    assert medha("warm", "rows.jsonl", "--ttl", "1", "-c", "short").code == 0
    assert medha("warm", "rows.jsonl", "--ttl", "3600", "-c", "long").code == 0
    time.sleep(1.1)
    assert medha("search", "How many clients exist?", "-c", "short").code == 1
    assert medha("search", "How many clients exist?", "-c", "long").code == 0
    assert medha("expire", "-c", "short").out == "3 expired entries removed\n"
    assert medha("expire", "-c", "long", "--json").json == {"removed": 0, "collection": "long"}
    assert medha("warm", "rows.jsonl", "--ttl", "0").code == 2


def test_warm_batch_size_is_how_many_are_embedded_at_once(medha):
    assert medha("warm", "rows.jsonl", "--batch-size", "1", "-c", "one", "--json").json["stored"] == 3
    assert medha("warm", "rows.jsonl", "--batch-size", "0").code == 2


# export


def test_export_as_csv_needs_no_pandas(medha, tmp_path):
    code = (
        "import sys; sys.modules['pandas'] = None; from medha_core.cli import main\n"
        "sys.argv[1:] = ['export', '--format', 'csv']; sys.exit(main())"
    )
    place = environment_of({"MEDHA_PATH": str(tmp_path / "cache")})
    finished = subprocess.run(
        [sys.executable, "-c", code], env=place, capture_output=True, encoding="utf-8", check=True
    )
    rows = list(csv.DictReader(io.StringIO(finished.stdout)))
    assert [row["question"] for row in rows] == [row["question"] for row in ROWS]
    assert rows[2]["response_summary"] == 'a "summary", quoted'
    assert json.loads(rows[2]["metadata"]) == ROWS[2]["metadata"]


@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_what_is_exported_can_be_warmed_again(medha, tmp_path, ending):
    assert medha("feedback", "How many clients exist?", "--correct").code == 0
    written = medha("export", "--output", f"out.{ending}", "--vectors", "--json")
    assert written.json == {"exported": 3, "file": f"out.{ending}", "format": ending}
    again = partial(medha, MEDHA_PATH=str(tmp_path / "again"))
    assert again("warm", f"out.{ending}").code == 0
    first, second = medha("export", "--format", "jsonl").out, again("export", "--format", "jsonl").out
    assert second == first
    assert "Łódź" in first
    assert json.loads(first.splitlines()[1])["feedback_correct"] == 1


def test_export_to_standard_output_is_json_by_default(medha):
    result = medha("export")
    assert [row["question"] for row in result.json] == [row["question"] for row in ROWS]
    assert result.err == ""


def test_what_export_cannot_do_is_said(medha, tmp_path):
    assert "--vectors" in medha("export", "--format", "csv", "--vectors").error_line
    assert "--output" in medha("export", "--json").error_line
    assert medha("export", "--format", "xml").code == 2
    lost = medha("export", "-o", "nowhere/out.json")
    assert lost.code == 2
    fenced = medha("export", "-o", "out.json", MEDHA_ALLOWED_FILE_DIR=str(tmp_path / "in"))
    assert fenced.code == 2
    assert "allowed_file_dir" in fenced.error_line
    assert not (tmp_path / "out.json").exists()


# forgetting


def test_invalidate_forgets_a_question(medha):
    assert medha("invalidate", "how many  clients exist").out == "Removed.\n"
    again = medha("invalidate", "How many clients exist?")
    assert (again.code, again.out) == (1, "Not found.\n")
    assert medha("search", "How many clients exist?").code == 1
    told = medha("invalidate", "How many customers do we have?", "--json").json
    assert told == {"removed": True, "question": "How many customers do we have?", "collection": "default"}


def test_invalidate_collection_wants_to_be_sure(medha):
    refused = medha("invalidate-collection")
    assert refused.code == 2
    assert "--yes" in refused.error_line
    assert medha("stats", "--json").json["entries"] == 3
    assert medha("invalidate-collection", "--yes", "--json").json == {"removed": 3, "collection": "default"}
    assert medha("stats", "--json").json["entries"] == 0


def test_dedup_keeps_one_of_a_kind(medha):
    assert medha("dedup", "--strategy", "keep_first").out == "1 duplicates removed\n"
    assert medha("search", "How many customers do we have?").code == 0
    assert medha("search", "How many clients exist?").code == 1
    assert medha("dedup", "--json").json == {"removed": 0, "collection": "default"}
    assert medha("dedup", "--strategy", "keep_none").code == 2


def test_feedback_counts_and_forgets_at_the_threshold(medha):
    told = medha("feedback", "How many clients exist?", "--correct", "--json").json
    assert told == {
        "counted": True,
        "question": "How many clients exist?",
        "correct": True,
        "collection": "default",
    }
    found = medha("search", "How many clients exist?", "--json").json
    wrong = ("feedback", "How many clients exist?", "--incorrect", "--entry-id", found["entry_id"])
    assert medha(*wrong, MEDHA_FEEDBACK_INCORRECT_THRESHOLD="1").out == "Counted.\n"
    assert medha("search", "How many clients exist?").code == 1
    missing = medha(*wrong)
    assert (missing.code, missing.out) == (1, "Not found.\n")
    assert "expected --correct or --incorrect, got neither" in medha("feedback", "x").error_line


# health and logo


def test_health_examines_store_and_embedder(medha):
    result = medha("health", "--json")
    assert result.code == 0
    assert {part: result.json[part]["status"] for part in ("backend", "embedder")} == {
        "backend": "OK",
        "embedder": "OK",
    }
    assert "3 entries" in result.json["backend"]["detail"]


def test_health_is_code_1_when_something_is_wrong(medha, tmp_path):
    lost = medha("health", "--json", MEDHA_PATH=str(tmp_path / "nowhere"))
    assert lost.code == 1
    assert lost.json["backend"]["status"] == "ERROR"
    no_model = {"MEDHA_EMBEDDER_TYPE": "onnx", "MEDHA_MODEL_DIR": str(tmp_path / "none")}
    absent = medha("health", "--json", **no_model)
    assert absent.code == 1
    assert "medha models pull" in absent.json["embedder"]["detail"]
    unchosen = medha("health", "--json", MEDHA_EMBEDDER_TYPE="_noop")
    assert unchosen.code == 0
    assert unchosen.json["embedder"]["status"] == "SKIPPED"
    memory = call(tmp_path, "health", "--model", "hashing")
    assert memory.out.startswith("backend   SKIPPED")


def test_health_tells_a_model_that_is_not_the_collections(medha, tmp_path):
    writer = (
        "import asyncio\nfrom medha_core import HashingEmbedder, Medha\n"
        "async def main():\n"
        "    async with Medha('small', HashingEmbedder(64)) as cache:\n"
        "        await cache.store('q', 'SELECT 1')\n"
        "asyncio.run(main())"
    )
    place = environment_of({"MEDHA_PATH": str(tmp_path / "cache")})
    subprocess.run([sys.executable, "-c", writer], env=place, check=True)
    result = medha("health", "-c", "small", "--json")
    assert result.code == 1
    assert "the collection holds" in result.json["embedder"]["detail"]
    assert medha("stats", "-c", "small", "--json").json["entries"] == 1


def test_logo(medha):
    assert "a question in" in medha("logo").out
    assert medha("logo", "--json").json["name"] == "medha"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("stats",), 0),
        (("export",), 0),
        (("health",), 0),
        (("invalidate", "nothing"), 1),
        (("invalidate-collection",), 2),
        (("expire",), 0),
        (("dedup",), 0),
        (("feedback", "nothing", "--correct"), 1),
        (("logo",), 0),
    ],
)
def test_each_command_runs_as_a_process_of_its_own(medha, tmp_path, command, code):
    place = {"MEDHA_PATH": str(tmp_path / "cache"), "MEDHA_EMBEDDER_TYPE": "hashing"}
    result = run(tmp_path, *command, **place)
    assert result.code == code
    assert "Traceback" not in result.err
    assert bool(result.out) is (code != 2)


@pytest.mark.parametrize("target", ["missing/out.json", "."])
def test_a_file_that_cannot_be_written_is_named_with_its_option(medha, target):
    assert "--output: expected" in medha("export", "-o", target).error_line
    for option in ("--out", "--plot"):
        assert f"{option}: expected" in medha("tune", "rows.jsonl", option, target).error_line
        assert medha("tune", "rows.jsonl", option, target).out == ""


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"question": "a"}', "entry: expected a key 'generated_query', got ['question']"),
        ('{"question": "a", "generated_query": 5}', "entry.generated_query: expected str, got int"),
        (
            '{"question": "", "generated_query": "b"}',
            "entry.question: expected text that is not empty, got ''",
        ),
    ],
)
def test_a_bad_entry_is_named_by_its_line(medha, tmp_path, line, fault):
    (tmp_path / "bad.jsonl").write_text("\n" + json.dumps(ROWS[0]) + "\n" + line + "\n")
    assert f"bad.jsonl, line 3: {fault}" in medha("warm", "bad.jsonl").error_line
    assert medha("stats", "--json").json["entries"] == 3


def test_a_bad_label_is_named_by_its_line(medha, tmp_path):
    row = {"question": "a", "stored_question": "b", "stored_query": "c", "correct": "yes"}
    (tmp_path / "bad.jsonl").write_text("\n" + json.dumps(row))
    fault = "bad.jsonl, line 2: correct: expected true or false, got 'yes'"
    assert fault in medha("tune", "bad.jsonl").error_line


def test_a_directory_is_no_file_and_a_file_no_directory(medha):
    assert ".: expected a file, got a directory" in medha("warm", ".").error_line
    for command in (("search", "x"), ("stats",), ("explain", "x")):
        told = medha(*command, "--path", "rows.jsonl").error_line
        assert "path: expected the directory of a cache, got the file rows.jsonl" in told


def test_a_bad_setting_is_shown_unless_it_may_be_secret(medha):
    assert "got 'strct'" in medha("search", "x", MEDHA_GUARD="strct").error_line
    error = _problem({"pg_password": 5, "redis_url": 7})
    assert "pg_password" in error
    assert "redis_url" in error
    assert not re.search("[57]", error)


def _problem(given):
    try:
        Settings(**given)
    except ValidationError as error:
        return settings_problem(error)
    raise AssertionError("these settings are valid")


def test_a_calibration_file_is_named_with_its_setting(medha):
    told = medha("search", "x", MEDHA_CALIBRATION_FILE="rows.jsonl", MEDHA_MAX_ERROR_RATE="0.01").error_line
    assert re.search("calibration_file: .*rows.jsonl", told)
