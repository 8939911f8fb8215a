"""Soak: does what the service holds stay level for as long as it runs? `python -m tests.soak`, or `make soak`.

`sampling` looks at a running service from outside (`/proc`, `/metrics`, `/readyz`); `flat` decides and is pure; `chart`
prints. Simulator, journal, service and the judge of what was published are those of `tests.verify`.
"""
