"""``python -m bclust`` and the command ``bclust``."""

from bclust.cli import main

if __name__ == "__main__":
    main()
