"""The command line: the only room that prints.

* ``main``: the commands; ``calls``: those that look at the call store; ``steps``: what commands and ``bclust.open`` share.
* ``console``: what is printed, and how.
"""
