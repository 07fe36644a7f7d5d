"""What a cache counts and measures, for Prometheus: as values, as text, and for its Python client.

from medha_core.metrics.collector import MedhaCollector    # needs the extra `metrics`
"""

from medha_core.metrics.families import Family, Sample, families
from medha_core.metrics.text import as_text

__all__ = ["Family", "Sample", "as_text", "families"]
