"""Deterministic simulation: the product's own core, service and Kafka journal under a clock that we own.

One seed is one history. `plan` draws it (changes of the list, faults, crashes), more often than not one of `scenarios`,
where faults are dangerous together. `history` plays it under `loop` with a simulated API (`upstream`) and a simulated
cluster (`broker`, and `kafka` for its clients). `checks` (with `clockwork` and `behaviour`) and the independent judge
of `tests.verify` compare what was published with what was true. `python -m tests.simulation` runs many seeds.
"""
