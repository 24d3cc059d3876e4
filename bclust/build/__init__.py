"""From a manifest to tables: what is stale, what it would cost, and the building of it.

* ``plan`` and ``building``: what would be done, and doing it; ``results``: what both report.
* ``growth``: whether a table is reused, added to or made anew, decided once for both; ``increments``: its SQL.
* ``state``: what was built of what. ``session``: the warehouse with functions and store in it. ``unit_tests``.
"""
