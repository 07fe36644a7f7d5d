"""Prints which engine passes which test of the contract: `python tests/engine_table.py [engine ...]`."""

import sys
from collections import defaultdict

import pytest
from engine_harness import HARNESSES

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
        kinds = ["real" if HARNESSES[one][0].real else "ours" for one in engines]
        print(
            "server".ljust(width), *(kind.center(len(one)) for one, kind in zip(engines, kinds, strict=True))
        )
        for test, outcomes in self.cells.items():
            marks = [
                _MARKS[max(outcomes[one], key=list(_MARKS).index) if len(outcomes[one]) == 1 else "failed"]
                if outcomes[one]
                else ""
                for one in engines
            ]
            print(
                test.ljust(width), *(mark.center(len(one)) for one, mark in zip(engines, marks, strict=True))
            )


def main(engines):
    table = Table()
    chosen = " or ".join(f"[{one}-" + f" or [{one}]" for one in engines)
    code = pytest.main(
        ["-q", "--no-header", "-p", "no:randomly", f"{sys.path[0]}/test_engine_contract.py", "-k", chosen],
        plugins=[table],
    )
    table.show(engines)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(HARNESSES)))
