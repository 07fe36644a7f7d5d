"""Prints which engine passes which test of the contract: `python tests/engine_table.py [engine ...]`."""

import sys
from collections import defaultdict

import pytest
from engine_harness import HARNESSES

_FILES = ("test_engine_contract.py", "test_outages.py", "test_round_trips.py")
_MARKS = {"passed": "+", "failed": "FAIL", "skipped": "-"}


class Table:
    """Collects outcomes by test and engine."""

    def __init__(self):
        self.cells = defaultdict(lambda: defaultdict(set))

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or report.outcome != "passed":
            name, _, parameters = report.nodeid.rpartition("::")[2].partition("[")
            engine = max((one for one in HARNESSES if parameters.startswith(one)), key=len)
            self.cells[name.removeprefix("test_").replace("_", " ")][engine].add(report.outcome)

    def show(self, engines):
        width = max(map(len, self.cells), default=0)
        print(" " * width, *engines)
        kinds = [HARNESSES[one][0].server_is for one in engines]
        print(
            "server".ljust(width), *(kind.center(len(one)) for one, kind in zip(engines, kinds, strict=True))
        )
        for test, outcomes in self.cells.items():
            print(test.ljust(width), *(_mark(outcomes[one]).center(len(one)) for one in engines))


def _mark(outcomes):
    """One cell: a test with several sets of values failed if one of them did."""
    worst = next((one for one in ("failed", "passed", "skipped") if one in outcomes), None)
    return _MARKS.get(worst, "")


def main(engines):
    table = Table()
    chosen = " or ".join(f"[{one}-" + f" or [{one}]" for one in engines)
    files = [f"{sys.path[0]}/{name}" for name in _FILES]
    code = pytest.main(["-q", "--no-header", "-p", "no:randomly", *files, "-k", chosen], plugins=[table])
    table.show(engines)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(HARNESSES)))
