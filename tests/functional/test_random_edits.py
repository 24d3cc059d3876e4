"""A short version of benchmarks/edits.py: after edits drawn at random, the plan is what the build does and the servers count.

Another walk, or a longer one: BCLUST_EDITS=200 BCLUST_EDITS_SEED=7 pytest tests/functional/test_random_edits.py
"""

from __future__ import annotations

import os

from benchmarks.edits import LIGHT, SELECTIONS, summary, walk

EDITS, SEED = int(os.environ.get("BCLUST_EDITS", "12")), int(os.environ.get("BCLUST_EDITS_SEED", "2"))


def test_after_random_edits_the_plan_is_what_is_made_counted_and_asked_about() -> None:
    steps = list(walk(EDITS, SEED, LIGHT if EDITS <= 12 else SELECTIONS))
    found = summary(steps)
    assert found["wrong"] == []
    assert found["edits"] == EDITS
    assert 0 < found["counted"] <= found["made"]
