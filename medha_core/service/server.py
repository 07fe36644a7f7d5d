"""Runs an application with uvicorn: bound before anything else, ended without cutting anybody off."""

import asyncio
import ipaddress
import signal
import socket
from collections.abc import Awaitable, Callable

try:
    import uvicorn
except ModuleNotFoundError as error:
    if error.name != "uvicorn":
        raise
    from medha_core.errors import ConfigurationError

    raise ConfigurationError("the server needs uvicorn: pip install 'medha-core[server]'") from error

from fastapi import FastAPI

from medha_core.errors import ConfigurationError


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_binding(host: str, *, has_keys: bool) -> None:
    """Refuse to serve other machines without keys."""
    if not has_keys and not is_loopback(host):
        raise ConfigurationError(
            f"without API keys only this machine is served, and {host} is reached from others: "
            "make a key with 'medha keys create NAME', or leave --host at 127.0.0.1"
        )


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the first address of `host`. Raises `ConfigurationError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise ConfigurationError(f"cannot serve {host} port {port}: {error.strerror or error}") from error
    return bound


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: FastAPI):
        super().__init__(config)
        self._readiness = app.state.readiness

    def handle_exit(self, sig: int, frame: object) -> None:
        self._readiness.closing = True
        super().handle_exit(sig, frame)  # type: ignore[arg-type]


def serve(
    app: FastAPI,
    bound: socket.socket,
    *,
    prepare: Callable[[], Awaitable[object]],
    on_start: Callable[[], None],
    grace: int = 30,
    access_log: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM; what is under way then is finished, for at most `grace` seconds.

    `prepare` runs first, on the loop that serves, and may raise; `on_start` is called
    when requests are taken.
    """
    config = uvicorn.Config(
        app,
        log_level="info" if access_log else "warning",
        access_log=access_log,
        server_header=False,
        timeout_graceful_shutdown=grace,
        lifespan="on",
    )
    server = _Server(config, app)

    async def run() -> None:
        await prepare()
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises again what ended it, after all is done: that is no failure here.
            signal.signal(number, lambda *_: None)
        on_start()
        await server.serve(sockets=[bound])

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run())
