"""Which guard the package runs on."""

from typing import TYPE_CHECKING

from medha_core.guard.judge import Guard
from medha_core.native import extension_loaded

if TYPE_CHECKING:
    from medha_core.guard.compiled import CompiledGuard

__all__ = ["make_guard"]


def make_guard(level: str) -> "Guard | CompiledGuard":
    """The compiled guard; with `MEDHA_NO_EXTENSION=1` the readable one."""
    if not extension_loaded:
        return Guard(level)
    from medha_core.guard.compiled import CompiledGuard  # needs the extension

    return CompiledGuard(level)
