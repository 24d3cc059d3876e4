"""DuckDB, and what gets into it.

* ``database``: one connection; fitted values; publishing and reading what was published.
* ``sources``: files and seeds as tables, with the rows that were rejected.
* ``arrow_functions``: functions of the project as functions of DuckDB.
* ``shared``: publishing into a database that others share (MotherDuck).
"""
