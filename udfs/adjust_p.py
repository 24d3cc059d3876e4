"""adjust_p: p-values of many tests, corrected for their number."""

from __future__ import annotations

from typing import Any

from bclust.functions import column


@column("(p_values DOUBLE[]) -> DOUBLE[]")
def adjust_p(p_values: Any) -> list[float | None]:
    """Benjamini-Hochberg q-values (1995), in the order given; NULL stays NULL and does not count as a test."""
    import numpy as np
    from scipy.stats import false_discovery_control

    p = np.array([np.nan if value is None else value for value in p_values], dtype=np.float64)
    tested = ~np.isnan(p)
    q = p.copy()
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return [float(value) if known else None for value, known in zip(q, tested, strict=True)]
