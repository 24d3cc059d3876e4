"""``python -m bclust`` and the command ``bclust``."""

import os

# threads of numeric libraries that wait must not burn the core that others need: on a busy machine a map took 35 s, now 4 s
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "8")  # 2^8 ticks; by default it spins for 2^26 after each product

from bclust.cli.main import main

if __name__ == "__main__":
    main()
