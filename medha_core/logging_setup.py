"""Where the library's log goes: one call for programs that have no logging of their own."""

import logging
import sys
from pathlib import Path

from medha_core.errors import ArgumentTypeError, ArgumentValueError, ConfigurationError

__all__ = ["setup_logging"]

FORMAT = "%(asctime)s %(levelname)-8s %(name)s: %(message)s"
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
_OURS = "medha_core.setup_logging"
"""The name of the handlers that were made here."""


def setup_logging(
    level: str | int = "INFO",
    log_file: str | Path | None = None,
    console_level: str | int | None = None,
    fmt: str | None = None,
    date_fmt: str | None = None,
) -> logging.Logger:
    """Log to standard error, and to a file if one is named; the logger `medha_core`.

    Called again, it replaces what the last call set up and closes its file; handlers of the
    program's own stay. Questions and queries appear at DEBUG only, and not even there with
    `Settings.log_questions=False`.

    Args:
        level: what is logged from here on, as a name or a number.
        log_file: appended to, UTF-8; its folder is made.
        console_level: another level for standard error; None takes `level`.
        fmt: the format of a line, None for time, level, logger and message.
        date_fmt: that of its time.

    Raises `ArgumentValueError` for a level nobody knows, `ConfigurationError` for a file that
    cannot be written; then what was set up before stays.
    """
    least = _level(level, "level")
    shown = least if console_level is None else _level(console_level, "console_level")
    form = logging.Formatter(fmt or FORMAT, date_fmt or DATE_FORMAT)
    handlers: list[logging.Handler] = []
    if log_file is not None:
        handlers.append(_handler(_file(log_file), least, form))
    handlers.append(_handler(logging.StreamHandler(sys.stderr), shown, form))

    logger = logging.getLogger("medha_core")
    for old in [handler for handler in logger.handlers if handler.name == _OURS]:
        logger.removeHandler(old)
        old.close()
    for handler in handlers:
        logger.addHandler(handler)
    logger.setLevel(min(handler.level for handler in handlers))
    logger.propagate = False
    return logger


def _level(given: str | int, argument: str) -> int:
    if isinstance(given, bool) or not isinstance(given, (str, int)):
        raise ArgumentTypeError(argument, "the name or number of a level", given)
    known = logging.getLevelNamesMapping()
    level = known.get(given.strip().upper()) if isinstance(given, str) else given
    if level is None or level < 0:
        raise ArgumentValueError(argument, f"a number, or one of {', '.join(known)}", given)
    return level


def _file(path: str | Path) -> logging.Handler:
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(path, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"log_file: {path} cannot be written: {error}") from error


def _handler(handler: logging.Handler, level: int, form: logging.Formatter) -> logging.Handler:
    handler.set_name(_OURS)
    handler.setLevel(level)
    handler.setFormatter(form)
    return handler
