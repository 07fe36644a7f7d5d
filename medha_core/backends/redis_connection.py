"""A connection to Redis, alone or behind sentinels."""

from collections.abc import Iterable, Sequence
from typing import Any

from medha_core.errors import ConfigurationError
from medha_core.settings import Settings

try:
    import redis
    from redis.sentinel import Sentinel
except ImportError as error:
    raise ConfigurationError("backend_type 'redis' needs redis: pip install 'medha-core[redis]'") from error

__all__ = ["connect", "redis", "run_script"]


def connect(settings: Settings) -> Any:
    """A client of the server that `settings.redis_*` name; answers are bytes."""
    password = settings.redis_password
    options: dict[str, Any] = {
        "db": settings.redis_db,
        "username": settings.redis_username,
        "password": password.get_secret_value() if password else None,
        "socket_timeout": settings.redis_socket_timeout,
        "socket_connect_timeout": settings.redis_socket_connect_timeout,
        # Answers have the same form from all servers.
        "protocol": 2,
    }
    if settings.redis_ssl:
        options |= {
            "ssl": True,
            "ssl_certfile": settings.redis_ssl_certfile,
            "ssl_keyfile": settings.redis_ssl_keyfile,
            "ssl_ca_certs": settings.redis_ssl_ca_certs,
        }
    if settings.redis_mode == "sentinel":
        return _by_sentinel(settings, options)
    if settings.redis_url:
        given = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout", "protocol")}
        return redis.Redis.from_url(settings.redis_url, **given)
    return redis.Redis(host=settings.redis_host, port=settings.redis_port, **options)


def run_script(client: Any, script: Any, calls: Iterable[Sequence[Any]], *, whole: bool = False) -> list[Any]:
    """What a script gives for each (key, arguments ...), in one round trip; `whole`: all calls or none.

    Redis forgets scripts when it starts: it is told again then. (The client's own pipelines ask
    each time whether it knows them.)
    """
    wanted = list(calls)
    for left in (True, False):
        try:
            with client.pipeline(transaction=whole) as pipeline:
                for key, *arguments in wanted:
                    pipeline.evalsha(script.sha, 1, key, *arguments)
                found: list[Any] = pipeline.execute()
                return found
        except redis.exceptions.NoScriptError:
            if not left:
                raise
            client.script_load(script.script)
    raise AssertionError("unreachable")


def _by_sentinel(settings: Settings, options: dict[str, Any]) -> Any:
    hosts = []
    for place in settings.redis_sentinel_hosts:
        host, _, port = place.rpartition(":")
        if not host or not port.isdecimal():
            raise ConfigurationError(f"redis_sentinel_hosts: expected 'host:port', got {place!r}")
        hosts.append((host, int(port)))
    if not hosts:
        raise ConfigurationError("redis_mode 'sentinel' needs redis_sentinel_hosts")
    timeouts = {name: options[name] for name in ("socket_timeout", "socket_connect_timeout")}
    return Sentinel(hosts, sentinel_kwargs=timeouts).master_for(settings.redis_sentinel_master, **options)
