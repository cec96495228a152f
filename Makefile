# make setup | demo | test | check | bench: each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
DONE := .venv/.done

.PHONY: setup demo test check bench lock clean

setup: $(DONE)

$(DONE): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirements requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(DONE)

demo: $(DONE)
	$(BIN)/rawless demo

test: $(DONE)
	$(BIN)/pytest --numprocesses 2 --dist worksteal

check: $(DONE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --processes 0 --disable-progress-bar sql

bench: $(DONE)
	$(BIN)/python -m benchmarks

lock: $(DONE)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--all-extras --upgrade pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv .rawless .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
