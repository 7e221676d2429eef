# Everything a person types: `make run` and `make test` set up what they need, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
# For `make serve` alone: where it listens, and the names by which the room may reach it.
HOST ?= 0.0.0.0
NAME ?= $(shell hostname)
HOSTS ?= $(NAME) 127.0.0.1 localhost $(shell hostname -f 2>/dev/null; hostname -I 2>/dev/null)
# For `make cluster`: a Ray cluster's address, or local for one started here; how many score, as in
# 2, or 1-8 for as many as there is work for.
RAY ?= local
REPLICAS ?= 2

# For the tests: how many processes share those without a browser; and of `make test-long`, after
# how many minutes it begins no further one: all, if none are given.
WORKERS ?= 2
MINUTES ?=
SHARED := -n $(WORKERS) --dist loadfile --ignore=tests/browser
LONG := -m long -rs $(if $(MINUTES),--long-minutes=$(MINUTES))

# One thread in each process, for there are many.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=25
TOGETHER := $(MAKE) --jobs=3 --output-sync=target --no-print-directory

# A server shares its cores: threads of OpenMP that spin while they wait take them from the others.
SERVE := OMP_WAIT_POLICY=passive

.PHONY: run cluster serve test test-browser test-rest test-long test-long-browser test-long-rest
.PHONY: check golden bench records clean
.DELETE_ON_ERROR:

run: $(VENV)/.run-ready  ## serve the app on http://127.0.0.1:8501
	$(SERVE) $(BIN)/python -m apr_core app --port $(PORT)

cluster: $(VENV)/.cluster-ready  ## the same, its candidates scored by replicas on a Ray cluster
	$(SERVE) APR_RAY=$(RAY) APR_REPLICAS=$(REPLICAS) $(BIN)/python -m apr_core app --port $(PORT)

serve: $(VENV)/.run-ready  ## serve a room, as deploy/README.md says: HOST, PORT, NAME, HOSTS
	$(SERVE) $(BIN)/python -m apr_core app --host $(HOST) --port $(PORT) --name $(NAME) --hosts $(HOSTS)

test: $(VENV)/.test-ready  ## ruff, mypy and the tests, but for those that take long
	$(TOGETHER) check test-browser test-rest

test-browser: $(VENV)/.test-ready
	$(PYTEST) tests/browser

test-rest: $(VENV)/.test-ready
	$(PYTEST) $(SHARED)

test-long: $(VENV)/.test-ready  ## the tests that take long; MINUTES=20 for as many as fit
	$(TOGETHER) test-long-browser test-long-rest

test-long-browser: $(VENV)/.test-ready
	$(PYTEST) $(LONG) tests/browser

test-long-rest: $(VENV)/.test-ready
	$(PYTEST) $(LONG) $(SHARED)

golden: $(VENV)/.test-ready  ## write what tests/golden holds anew, to be read before it is committed
	$(PYTEST) tests/app/test_prose.py --golden

check: $(VENV)/.test-ready  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The attack beside whole forwards, other engines, torchattacks and ART: about an hour on two cores,
# with nothing else running, a quarter of it for VGG-19. One model: make bench-vgg19.
BENCHED := resnet20 resnet18 vgg16 efficientnet-lite0 resnet50 vgg19
BENCH_resnet20 := --model cifar10-resnet20-vanilla --sweep
BENCH_resnet18 := --architecture resnet18 --images 1 --generations 1
BENCH_vgg16 := --architecture vgg16 --images 1 --generations 1
BENCH_efficientnet-lite0 := --model efficientnet-lite0

bench: $(BENCHED:%=bench-%)  ## this engine beside others, torchattacks and ART

bench-%: .venv-bench/.ready
	.venv-bench/bin/python -m apr_core bench $(or $(BENCH_$*),--architecture $*) --peers \
	  --device cpu --out results/bench-cpu-$*.json

records: $(VENV)/.run-ready  ## what the records say, into the cards and the README; glances
	$(BIN)/python -m scripts.cards
	$(BIN)/python -m scripts.readme
	$(BIN)/python -m scripts.glances

clean:
	rm -rf $(VENV) .venv-bench

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "APR Lab needs Python 3.11 or newer; try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.cluster-ready: requirements.txt requirements-cluster.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-cluster.txt
	touch $@ $(VENV)/.run-ready

$(VENV)/.test-ready: requirements.txt requirements-cluster.txt requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@ $(VENV)/.run-ready $(VENV)/.cluster-ready

.venv-bench/.ready: requirements.txt requirements-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	touch $@
