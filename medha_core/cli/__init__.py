"""The command `medha`; needs the extra `cli`."""

import sys

__all__ = ["main"]

_EXTRA = ("typer", "click", "rich")


def main() -> int:
    """Run the command line given in `sys.argv`; the exit code: 0, 1 for a miss, 2 for an error."""
    try:
        from medha_core.cli.app import run
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        print(f"medha: the command line needs {error.name}: pip install 'medha-core[cli]'", file=sys.stderr)
        return 2
    return run(sys.argv[1:])
