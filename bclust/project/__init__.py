"""The project as it is declared: files become one Manifest, or one error with file and line. Nothing is run here.

* ``reading``: the whole project; ``config`` (bclust.yml and its sections), ``seed_files``, ``declared_tests``.
* ``manifest``, ``nodes``, ``graph``, ``selector``: what was read, and what is chosen of it.
* ``sql``, ``sql_types``, ``sql_macros``, ``sql_calls``: what a statement refers to, and whether its paid calls can be planned.
* ``registry``: the functions in udfs/; ``builtins``: those of DuckDB.
* ``materializations``, ``data_tests``, ``literals``: nodes, tests and values as SQL text.
"""
