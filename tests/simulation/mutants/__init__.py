"""Bugs as patches, one a file: `python -m tests.simulation.mutants` shows in how many seeds each is found.

A patch applies to HEAD with `git apply`. A rule without a mutant is a rule that nothing guards: break it by hand, see
that the simulation finds it, and add the patch here; in `sweeps/` where only `make sweeps` can (`--in sweeps`).
"""
