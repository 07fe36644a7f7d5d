"""`medha serve` and `medha keys` as programs: started, asked over a socket, ended by signals."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest
from service_harness import Counted

from medha_core.service.app import create_app
from medha_core.service.server import listen, serve

_START_SECONDS = 60


def medha(*arguments, **environment):
    """The command line, without what this machine's user has set up."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDHA_")}
    return {
        "args": [sys.executable, "-m", "medha_core.cli", *map(str, arguments)],
        "env": kept | {"PYTHONUTF8": "1", "MEDHA_KEYS": os.devnull} | environment,
        "text": True,
    }


def run(*arguments, **environment):
    return subprocess.run(**medha(*arguments, **environment), capture_output=True, timeout=120, check=False)


class Serving:
    """`medha serve` on a free port, as a process of its own."""

    def __init__(self, tmp_path, *arguments, **environment):
        command = medha("serve", "--port", 0, "--model", "hashing", *arguments, **environment)
        self.process = subprocess.Popen(**command, cwd=tmp_path, stderr=subprocess.PIPE)

    def __enter__(self):
        line = self.process.stderr.readline()
        found = re.match(r"medha: serving (http://\S+) \((.*)\)", line)
        assert found, line + self.process.stderr.read()
        self.url, self.told = found.groups()
        until = time.monotonic() + _START_SECONDS
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/ready").status_code == 200:
                    return self
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError("the server is not ready")

    def end(self, number=signal.SIGTERM):
        """The exit code and what was printed."""
        self.process.send_signal(number)
        _, printed = self.process.communicate(timeout=60)
        return self.process.returncode, printed

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_ends_without_a_trace(tmp_path, number):
    with Serving(tmp_path) as serving:
        assert serving.told == "anybody on this machine may call, the cache is in memory"
        assert serving.url.startswith("http://127.0.0.1:")
        answer = httpx.post(f"{serving.url}/embed/text", json={"text": "How many orders?"})
        assert (answer.status_code, answer.json()["model"]) == (200, "hashing")
        assert "server" not in answer.headers
        assert httpx.get(f"{serving.url}/health", headers={"Host": "evil.example"}).status_code == 421
        assert serving.end(number) == (0, "")


def test_the_cache_is_kept_in_its_directory(tmp_path):
    stored = {"question": "How many orders?", "generated_query": "SELECT 1"}
    for _ in range(2):
        with Serving(tmp_path, "--path", "cache", "--collection", "shop") as serving:
            assert serving.told.endswith("the cache is in cache")
            found = httpx.post(f"{serving.url}/cache/search", json={"question": stored["question"]}).json()
            httpx.post(f"{serving.url}/cache/store", json=stored)
            assert serving.end() == (0, "")
    assert found["generated_query"] == "SELECT 1"


def test_a_file_can_be_stored_first(tmp_path):
    pair = {"question": "How many orders?", "generated_query": "SELECT 1"}
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair))
    with Serving(tmp_path, "--warm", "pairs.jsonl") as serving:
        found = httpx.post(f"{serving.url}/cache/search", json={"question": pair["question"]}).json()
    assert found["generated_query"] == "SELECT 1"
    done = run("serve", "--model", "hashing", "--port", 0, "--warm", tmp_path / "none.jsonl")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path):
    stored = {"question": "How many orders?", "generated_query": "SELECT 1"}
    with Serving(tmp_path, "--path", "cache") as serving:
        assert httpx.post(f"{serving.url}/cache/store", json=stored).json() == {"stored": True}
        serving.process.kill()
        serving.process.wait()
    with Serving(tmp_path, "--path", "cache") as serving:
        found = httpx.post(f"{serving.url}/cache/search", json={"question": stored["question"]}).json()
    assert found["hit"] is True


def test_without_keys_it_refuses_other_machines_in_one_sentence(tmp_path):
    done = run("serve", "--host", "0.0.0.0", "--model", "hashing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "medha: without API keys only this machine is served, and 0.0.0.0 is reached from others: "
        "make a key with 'medha keys create NAME', or leave --host at 127.0.0.1"
    ]


def test_with_keys_it_serves_other_machines(tmp_path):
    keys = tmp_path / "keys.jsonl"
    made = run("keys", "create", "reports", "--collection", "shop", "--file", keys)
    secret = made.stdout.strip()
    assert made.returncode == 0
    assert re.fullmatch(r"medha_[0-9a-f]{12}_[\w-]{43}", secret)
    assert "it is not shown again" in made.stderr
    with Serving(tmp_path, "--host", "0.0.0.0", "--keys", keys) as serving:
        assert serving.told.startswith("1 keys may call")
        url = serving.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/embed/models").status_code == 401
        headers = {"Authorization": f"Bearer {secret}"}
        assert httpx.get(f"{url}/embed/models", headers=headers).status_code == 200
        assert httpx.get(f"{url}/health", headers={"Host": "cache.example"}).status_code == 200
        identity = secret.split("_")[1]
        assert run("keys", "revoke", identity, "--file", keys).stdout == f"{identity} is revoked\n"
        until = time.monotonic() + 30
        while httpx.get(f"{url}/embed/models", headers=headers).status_code == 200:
            assert time.monotonic() < until
            time.sleep(0.1)


def test_keys_are_listed_without_their_secrets(tmp_path):
    keys = {"MEDHA_KEYS": str(tmp_path / "keys.jsonl")}
    made = json.loads(run("keys", "create", "reports", "--json", **keys).stdout)
    run("keys", "create", "shop", "--collection", "a", "--collection", "b", **keys)
    listed = run("keys", "list", **keys).stdout
    assert made["key"] not in listed
    assert re.search(rf"^{made['id']}  \S+  active  reports  all collections$", listed, re.MULTILINE)
    assert listed.rstrip().endswith("shop  'a', 'b'")
    as_json = json.loads(run("keys", "list", "--json", **keys).stdout)["keys"]
    assert [sorted(each) for each in as_json] == [["collections", "created", "id", "name", "revoked"]] * 2
    gone = run("keys", "revoke", "nothing", **keys)
    assert (gone.returncode, gone.stderr.count("\n")) == (2, 1)


def test_a_port_that_is_taken_is_one_line(tmp_path):
    with Serving(tmp_path) as serving:
        done = run("serve", "--model", "hashing", "--port", serving.url.rpartition(":")[2])
    assert done.returncode == 2
    assert re.fullmatch(r"medha: cannot serve 127\.0\.0\.1 port \d+: .*\n", done.stderr)


def test_a_directory_in_use_is_one_line(tmp_path):
    with Serving(tmp_path, "--path", tmp_path / "cache"):
        done = run("serve", "--model", "hashing", "--port", 0, "--path", tmp_path / "cache")
    assert done.returncode == 2
    assert "is in use by process" in done.stderr
    assert "Traceback" not in done.stderr


def test_limits_are_options(tmp_path):
    with Serving(tmp_path, "--max-batch", 2, "--max-body", 500, "--rate", 3) as serving:
        with httpx.Client(base_url=serving.url) as client:
            assert client.post("/embed/batch", json={"texts": ["a", "b", "c"]}).status_code == 413
            assert client.post("/embed/text", json={"text": "a" * 500}).status_code == 413
            answers = [client.post("/embed/text", json={"text": text}) for text in "abcda"]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 200]


def test_vectors_are_shared_in_redis(tmp_path, redis):
    answers = []
    for _ in range(2):
        with Serving(tmp_path, MEDHA_REDIS_URL=redis.url) as serving:
            answers.append(httpx.post(f"{serving.url}/embed/text", json={"text": "a"}).json())
            assert httpx.get(f"{serving.url}/ready").json()["checks"]["redis"] == "up"
            assert "medha_redis_up 1.0" in httpx.get(f"{serving.url}/metrics").text
    assert [answer["cached"] for answer in answers] == [False, True]
    assert answers[0]["embedding"] == answers[1]["embedding"]


def test_what_is_under_way_is_finished(tmp_path):
    """In this process, for only here a model can be held up: the same `serve` runs."""
    model = Counted()
    service = model.service()
    app = create_app(service)
    bound = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    model.may_go.clear()
    answers = []

    def ask():
        assert started.wait(30)
        answers.append(httpx.post(f"{url}/embed/text", json={"text": "a"}, timeout=30))

    def end_while_it_runs():
        assert model.entered.wait(30)
        os.kill(os.getpid(), signal.SIGTERM)
        while not app.state.readiness.closing:
            time.sleep(0.01)
        time.sleep(0.3)  # the server closes its socket now
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/health", timeout=5)
        model.may_go.set()

    started = threading.Event()
    threads = [threading.Thread(target=target) for target in (ask, end_while_it_runs)]
    for thread in threads:
        thread.start()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        serve(app, bound, prepare=service.load, on_start=started.set)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    for thread in threads:
        thread.join(30)
    assert [answer.status_code for answer in answers] == [200]


def test_what_cannot_be_finished_in_time_is_ended(tmp_path):
    model = Counted()
    service = model.service()
    app = create_app(service)
    bound = listen("127.0.0.1", 0)
    model.may_go.clear()
    answers = []

    def ask():
        assert started.wait(30)
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/embed/text"
        answers.append(httpx.post(url, json={"text": "a"}, timeout=30))

    def end():
        assert model.entered.wait(30)
        os.kill(os.getpid(), signal.SIGTERM)
        while service.get_metrics()["texts_under_way"]:
            time.sleep(0.01)
        model.may_go.set()  # the thread itself cannot be ended

    started = threading.Event()
    threads = [threading.Thread(target=target) for target in (ask, end)]
    for thread in threads:
        thread.start()
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        serve(app, bound, prepare=service.load, on_start=started.set, grace=1)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    for thread in threads:
        thread.join(30)
    (answer,) = answers
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "unavailable_error")


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "msgspec", "prometheus_client"])
def test_a_missing_package_is_one_sentence(missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from medha_core.cli import main\n"
        "sys.argv = ['medha', 'serve', '--model', 'hashing']; sys.exit(main())"
    )
    command = medha()
    command["args"] = [sys.executable, "-c", code]
    done = subprocess.run(**command, capture_output=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == f"medha: the server needs {missing}: pip install 'medha-core[server]'\n"


def test_importing_the_library_loads_no_server():
    code = (
        "import sys, medha_core; medha_core.EmbedderService('hashing')\n"
        "heavy = {'fastapi', 'uvicorn', 'redis', 'httpx', 'msgspec', 'prometheus_client', 'starlette'}\n"
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


async def test_equal_questions_of_two_processes_meet_in_redis(tmp_path, redis):
    with Serving(tmp_path, "--redis", redis.url) as one, Serving(tmp_path, "--redis", redis.url) as two:
        async with httpx.AsyncClient() as client:
            for i in range(5):
                await client.post(f"{one.url}/embed/text", json={"text": f"text {i}"})
            asked = (client.post(f"{two.url}/embed/text", json={"text": f"text {i}"}) for i in range(5))
            answers = await asyncio.gather(*asked)
    assert all(answer.json()["cached"] for answer in answers)
