# `make demo` and `make test` do all the set-up; VENV names the environment.
VENV ?= .venv
PYTHON ?= python3
WORKERS ?= 2
STEPS ?= 400

.PHONY: demo test slow lint wheels

demo: $(VENV)/ready
	$(VENV)/bin/python examples/demo.py --output runs/demo --steps $(STEPS)

# One thread for each worker; tests that share a file, and with it what its fixtures make, share a worker.
test: $(VENV)/ready
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -q --numprocesses $(WORKERS) --dist loadfile

slow: $(VENV)/ready
	$(VENV)/bin/python -m pytest -q -m slow --timeout=3600

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

wheels:
	$(PYTHON) tools/build_wheels.py --output dist

$(VENV)/ready: pyproject.toml constraints.txt hatch_build.py $(wildcard native/*)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
