"""How long the report's pages take on the server, and how much they send.

    python benchmarks/reports.py [--quick] [--data DIR] [--runs 3]

Each page runs in streamlit's own test harness (no browser) over synthetic warehouses of 20,000 and 100,000 responses: the first
view, then warm views, of which the median counts. Bytes are those of the messages that the page sends to the browser. --data is
taken so that all benchmarks are called alike. The last line is JSON: p20k_s and p100k_s, the slowest page's warm seconds.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
PAGES = ("overview", "map", "compare", "approvals", "hierarchy", "read", "runs")


def measure(warehouse: Path, runs: int) -> dict[str, tuple[float, float, int]]:
    """Per page: seconds of the first view, median seconds of the warm ones, bytes sent."""
    from streamlit.testing.v1 import AppTest
    from streamlit.util import calc_hash

    logging.getLogger("streamlit").setLevel(logging.ERROR)  # it warns of every run outside a server
    os.environ["BCLUST_WAREHOUSE"] = str(warehouse)
    found = {}
    for page in PAGES:
        seconds = []
        app = AppTest.from_file(str(ROOT / "reports" / "app.py"), default_timeout=300)
        app._page_hash = calc_hash("" if page == "overview" else page)  # pages are functions: switch_page() takes files only
        for _ in range(runs + 1):
            started = time.perf_counter()
            app.run()
            seconds.append(time.perf_counter() - started)
        if app.exception:
            raise RuntimeError(f"{page}: {app.exception[0].value}")
        elements = [element for block in (app.main, app.sidebar) for element in block]
        sent = sum(element.proto.ByteSize() for element in elements if hasattr(getattr(element, "proto", None), "ByteSize"))
        found[page] = (seconds[0], statistics.median(seconds[1:]), sent)
    return found


def main() -> None:
    """Read the options, measure, print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 and 20,000 responses instead")
    parser.add_argument("--data", type=Path, help="not used: warehouses are synthetic")
    parser.add_argument("--runs", type=int, default=3, help="warm views of each page")
    arguments = parser.parse_args()
    from tests.browser.make_warehouse import Shape, make_warehouse

    sizes = (2_000, 20_000) if arguments.quick else (20_000, 100_000)
    worst = []
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            warehouse = make_warehouse(Path(folder) / f"{size}.duckdb", Shape(n_statements=size // 4, n_llms=4))
            found = measure(warehouse, arguments.runs)
            print(f"\n{size:,} responses        first s    warm s       bytes")
            for page, (first, warm, sent) in found.items():
                print(f"  {page:<20}{first:>9.2f}{warm:>10.2f}{sent:>12,}")
            worst.append(max(warm for _, warm, _ in found.values()))
    print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(json.dumps({"p20k_s": round(worst[0], 3), "p100k_s": round(worst[1], 3)}))


if __name__ == "__main__":
    main()
