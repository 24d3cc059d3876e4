"""Paid calls: each question is asked once, and no answer is lost.

* ``desk``: collects the questions of a query, has them asked, and answers the query from the store.
* ``store``: every answer ever paid for; ``files`` (export and import), ``answers`` (which can be kept).
* ``claims`` and ``owners``: which process asks what now; ``arrivals``: what was read and is not stored yet.
* ``lanes``, ``limits``, ``progress``: how one answering party is asked, how fast, and for how much.
* ``batches`` and ``batch_records``: the same in batches that outlive the process.
* ``columns``: questions and answers as Arrow columns. ``ray_executor`` and ``ray_pool``: workers on other machines.
"""
