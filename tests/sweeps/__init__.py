"""Seeded sweeps of a list that moves, at a service that is odd and sometimes lies: is anything told as deleted that is
there, and is everything told once the list is quiet?

`plan` draws one from its seed; `world` plays it in the virtual time of `tests.simulation`, with the product's own core
and service, and a journal in memory; `judge` compares what was published with what was true. `python -m tests.sweeps`
runs many. The wrong region of an hour is a test beside it.
"""
