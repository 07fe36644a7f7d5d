"""Metrics in the text format that Prometheus scrapes (version 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from medha_core.metrics.families import Family, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def as_text(families: Iterable[Family]) -> str:
    """One `# HELP`, one `# TYPE` and the samples of each family."""
    return "".join(f"{line}\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        if family.kind == "histogram":
            yield from _buckets(family.name, sample)
        if family.kind in ("histogram", "summary"):
            yield f"{family.name}_sum{_labels(sample.labels)} {_number(sample.value)}"
            yield f"{family.name}_count{_labels(sample.labels)} {sum(sample.counts)}"
        else:
            yield f"{family.name}{_labels(sample.labels)} {_number(sample.value)}"


def _buckets(name: str, sample: Sample) -> Iterator[str]:
    bounds = [*map(_number, sample.bounds), "+Inf"]
    for bound, count in zip(bounds, accumulate(sample.counts), strict=True):
        yield f"{name}_bucket{_labels({**sample.labels, 'le': bound})} {count}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
