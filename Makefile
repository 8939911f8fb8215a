# The two commands of a new user are `make demo` and `make test`; each makes what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: demo test check kafka toxiproxy verify-main verify-shuffled simulate sweeps mutants chaos pacing soak bench \
	bench-journal bench-latency pacing-redis test-registry test-interop test-browser lock format clean help
.DEFAULT_GOAL := help

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "certstream needs Python 3.11 or newer; name one: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "no venv module: as root, apt-get install python3-venv"; exit 1; }

$(VENV)/run.stamp: requirements/run.txt pyproject.toml | $(BIN)/python
	@echo "installing what certstream needs into $(VENV) …"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/run.stamp
	@echo "installing what the tests need into $(VENV) …"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/run.stamp  ## the main job on this machine: simulator, service, embedded journal
	@$(BIN)/certstream demo $(ARGS)

kafka: $(VENV)/dev.stamp  ## fetch the real Apache Kafka that the tests start
	@$(BIN)/python -m tests.real.kafka fetch

toxiproxy: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.real.toxiproxy

check: $(VENV)/dev.stamp  ## format, lint, types, import contracts; the schemas and what is made from them
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@PYTHONPATH=. $(BIN)/lint-imports
	@$(BIN)/python -m tests.schemas.compat
	@$(BIN)/python -m tests.schemas.asyncapi
	@$(BIN)/python -m tests.schemas.pages --check

test: $(VENV)/dev.stamp  ## everything that must hold: checks and all tests, on a real Kafka
	@$(MAKE) --no-print-directory -j3 check kafka toxiproxy
	@$(if $(ARGS),$(BIN)/pytest $(ARGS),$(both))

# Many tests mostly wait, those of whole processes above all: these run beside the others, and are shown after them.
BESIDE := tests/cli tests/chaos tests/journal tests/limiter tests/verify
define both
$(BIN)/pytest $(BESIDE) >.cache/beside.log 2>&1 & beside=$$!; trap "kill $$beside" INT TERM; \
$(BIN)/pytest $(BESIDE:%=--ignore=%); others=$$?; \
echo "and those that ran beside these:"; \
wait $$beside; waited=$$?; cat .cache/beside.log; \
exit $$((others + waited))
endef

test-registry: kafka  ## with a real schema registry (Apicurio, fetched) and a real Kafka
	@$(BIN)/python -m tests.real.apicurio
	@$(BIN)/pytest tests/registry $(ARGS)

test-interop: kafka  ## the official SDKs of Python, Java and Go, and kcat, print the same events of a real Kafka
	@$(BIN)/python -m tests.interop $(ARGS)

test-browser: $(VENV)/dev.stamp  ## the service's pages in a real Chromium, which must be there; a picture in .cache
	@$(BIN)/python -m tests.real.chromium >/dev/null
	@$(BIN)/pytest tests/browser $(ARGS)

verify-main: kafka  ## five minutes against a real Kafka and SQLite with faults and kill -9, judged independently
	@$(BIN)/python -m tests.verify $(ARGS)

verify-shuffled: kafka  ## the same over a list that has another order at every call: 2,000 certificates, 2 changes/s, 5 % faults
	@$(BIN)/python -m tests.verify --order shuffled --certificates 2000 --rate 2 --faults 0.05 $(ARGS)

simulate: $(VENV)/dev.stamp  ## histories with faults in virtual time, judged: SEEDS=5000 FIRST=1
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),5000) --first $(or $(FIRST),1) $(ARGS)

chaos: kafka toxiproxy  ## an hour of kill -9 and faults on three real brokers, a disk and a clock, judged independently
	@$(BIN)/python -m tests.chaos $(ARGS)

pacing: toxiproxy  ## never eleven over real sockets: a delaying proxy, a thousand SIGSTOPs
	@$(BIN)/python -m tests.pacing $(ARGS)

pacing-redis: $(VENV)/dev.stamp  ## never eleven of four processes that share a real Redis, which is hurt
	@$(BIN)/pytest tests/limiter/processes
	@$(BIN)/python -m tests.limiter $(ARGS)

soak: kafka  ## half an hour on a real Kafka: memory, file handles, threads, tasks and lag stay flat, as a chart
	@$(BIN)/python -m tests.soak $(ARGS)

sweeps: $(VENV)/dev.stamp  ## seeded sweeps of a hostile list in virtual time, judged: no false deletion
	@$(BIN)/python -m tests.sweeps $(ARGS)

mutants: $(VENV)/dev.stamp  ## known bugs, each of which the simulation must find
	@$(BIN)/python -m tests.simulation.mutants $(ARGS)

bench: $(VENV)/dev.stamp  ## ratios against named peers, in one run: FULL=1 with a million certificates
	@$(BIN)/python -m bench $(if $(FULL),--full) $(ARGS)

bench-journal: kafka  ## the journal, on a real Kafka and on SQLite: ratios against named peers, in one run
	@$(BIN)/python -m bench.journal $(ARGS)

bench-latency: $(VENV)/dev.stamp  ## how soon a change among a million is an event, in virtual time: FULL=1 for all cells
	@$(BIN)/python -m bench.latency $(if $(FULL),--full) $(ARGS)

format: $(VENV)/dev.stamp  ## rewrite in the project's format
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lock: $(VENV)/dev.stamp  ## renew requirements/*.txt
	@for f in run dev; do $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header $$( [ $$f = dev ] && echo -c requirements/run.txt ) \
	  requirements/$$f.in -o requirements/$$f.txt; done

clean:  ## remove the environment and what was fetched
	rm -rf $(VENV) .cache
