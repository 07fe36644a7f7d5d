"""The command `medha`, run as its users run it: in a process of its own."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import medha_core

PACKAGE_PARENT = Path(medha_core.__file__).parents[1]


class Result:
    """Exit code and what was printed."""

    def __init__(self, finished):
        self.code = finished.returncode
        self.out = finished.stdout
        self.err = finished.stderr

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error_line(self):
        """The one line an error must be."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


def run(folder, *arguments, **environment):
    """Run a command in a folder; the environment's settings of ours are those given."""
    finished = subprocess.run(
        [sys.executable, "-m", "medha_core.cli", *map(str, arguments)],
        cwd=folder,
        env=environment_of(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    return Result(finished)


def call(folder, *arguments, **environment):
    """`run` in this process: for tests of what a command does, not of how it starts."""
    from medha_core.cli.app import run as run_here

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    ours = {"PATH": os.environ["PATH"], **environment_of(environment)}
    with (
        mock.patch.dict(os.environ, ours, clear=True),
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "stdin", io.StringIO()),
    ):
        code = run_here(list(map(str, arguments)))
    out.flush()
    err.flush()
    said = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]
    return Result(subprocess.CompletedProcess(arguments, code, *said))


def environment_of(extra):
    """This process's environment without settings of ours, finding the package from any folder."""
    ours = ("MEDHA_MODEL_DIR", "MEDHA_NO_EXTENSION")
    kept = {
        name: value for name, value in os.environ.items() if name in ours or not name.startswith("MEDHA_")
    }
    return kept | {"PYTHONPATH": str(PACKAGE_PARENT), "PYTHONUTF8": "1"} | extra
