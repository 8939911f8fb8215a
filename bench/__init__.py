"""What certstream costs, beside a named peer or bound, measured in one run: `make bench`, `docs/performance.md`.

A benchmark informs. It fails only with `--strict`, and no test rests on it.
"""
