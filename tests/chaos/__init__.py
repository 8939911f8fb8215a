"""Faults on real parts: brokers, connections, rights, disks and clocks fail under a real service; an independent judge
reads what it published. `python -m tests.chaos` is the command, `make chaos` its name.

One history is a round (`driver`): drawn from a seed (`plan`), made to happen (`faults`, `instances`), judged
(`verdict`).
"""
