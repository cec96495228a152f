# make setup | demo | quick | test | test-full | analyze | check | bench | bench-gpu: each sets up what it needs.
# make image needs Docker, make bench-gpu a CUDA device.
# Compiled modules are kept whatever the environment says, since a test run starts dozens of processes.
export PYTHONDONTWRITEBYTECODE :=
# Terraform does not report its version to its vendor.
export CHECKPOINT_DISABLE := 1
PYTHON ?= python3
IMAGE ?= rawless
VARIANT ?= cuda
ENCODERS ?= minilm@1.0.0
SPECS ?=
WEIGHTS ?=
BIN := .venv/bin
DONE := .venv/.done

.PHONY: setup demo quick test test-full analyze check terraform bench bench-gpu image lock clean

setup: $(DONE)

$(DONE): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirements requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(DONE)

demo: $(DONE)
	$(BIN)/rawless demo

# The tests that need no server, no encoder and no process of their own.
quick: $(DONE)
	$(BIN)/pytest --quiet --numprocesses 2 -m "not slow and not full"

# Three processes on two cores, since tests also wait for each other's servers and processes.
test: $(DONE)
	$(BIN)/pytest --numprocesses 3 --dist loadgroup --statements=build/statements -m "not full"

# What `make test` leaves out because it takes minutes: all cases and random warehouses on Google's evaluator, models of
# both exporters of torch, and of TensorFlow, which is installed once into the user's cache, and jobs and services that
# are killed or run in several processes.
# Killing jobs for two minutes takes all cores, from which tests with time limits would suffer.
ALONE := tests/pipelines/test_random_kills.py
test-full: $(DONE)
	$(BIN)/pytest --quiet --numprocesses 2 --dist worksteal -m full --ignore $(ALONE)
	$(BIN)/pytest --quiet -m full $(ALONE)

# Whether Google's own analyzer accepts the SQL that `make test` sent to the local BigQuery.
analyze: $(DONE)
	$(BIN)/pytest --quiet tests/googlesql/analyze.py

check: $(DONE) terraform
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --processes 0 --disable-progress-bar sql
	$(BIN)/hadolint Dockerfile

# Needs no cloud; terraform/README.md describes the checks. checkov needs a separate environment.
terraform: $(DONE)
	terraform fmt -check -recursive terraform
	terraform -chdir=terraform/design test
	$(BIN)/python -m terraform.checks
	$(BIN)/uv tool run --quiet checkov==3.3.30 --directory terraform --framework terraform --skip-download --quiet --compact

bench: $(DONE)
	$(BIN)/python -m benchmarks

# On a machine with a CUDA device, in less than four minutes.
bench-gpu: $(DONE)
	$(BIN)/python -m benchmarks.gpu

# SPECS and WEIGHTS are folders of the user's own (docs/container.md).
# To look up a digest: docker buildx imagetools inspect NAME:TAG --format '{{.Manifest.Digest}}'
CONTEXTS = $(if $(SPECS),--build-context specs="$(SPECS)") $(if $(WEIGHTS),--build-context weights="$(WEIGHTS)")
image:
	docker build --target $(VARIANT) $(CONTEXTS) --build-arg ENCODERS="$(ENCODERS)" \
		--build-arg PYTHON_DIGEST=$(PYTHON_DIGEST) --build-arg BEAM_DIGEST=$(BEAM_DIGEST) \
		--build-arg LAUNCHER_DIGEST=$(LAUNCHER_DIGEST) --build-arg CUDA_DIGEST=$(CUDA_DIGEST) --tag $(IMAGE) .

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

# The second lock is the subset of the first that the image needs: jobs, workers and services.
lock: $(DONE)
	$(COMPILE) --all-extras --upgrade pyproject.toml --output-file requirements.lock
	$(COMPILE) --no-annotate --extra ingest --extra kafka --extra serve --constraint requirements.lock pyproject.toml --output-file requirements.worker.lock

clean:
	rm -rf .venv .rawless .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
