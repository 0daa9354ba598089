# install, demo, test, oldest, coverage, fuzz, lint, docs, notebooks, bench, advisories, licenses: each first makes .venv and installs what it needs; the second call starts at once.

PYTHON ?= python3
BACKEND ?= jax torch tensorflow
# The exact versions to install; empty: the newest that pyproject.toml allows.
CONSTRAINTS ?= constraints.txt
EXTRAS ?= jax,torch,tensorflow,pretrained,pyav,parquet,grain,tune,viz,export,web,serve,ray,docs,dev

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS:%=--constraint %)
PYTEST := $(BIN)/python -m pytest
RULES := pyproject.toml constraints.txt

.PHONY: install demo test oldest coverage fuzz lint docs notebooks bench advisories licenses

install: $(VENV)/.user
	@echo "next: $(BIN)/keras-actrec train --data VIDEOS --out runs/mine"

demo: $(VENV)/.user
	KERAS_BACKEND=jax $(BIN)/keras-actrec demo --out runs/demo

# Two test processes; one thread each, or they would fight for the cores. Whoever is done takes tests from the other.
# The first backend runs every test; the others leave out those that use none (tests/conftest.py holds them to it) and
# those for which one stands for all.
test: $(VENV)/.all
	@set -e; only=""; for backend in $(BACKEND); do \
		echo "== tests on $$backend"; \
		KERAS_BACKEND=$$backend $(PYTEST) -n 2 --dist worksteal --durations 10 -m "$$only"; \
		only="not no_backend and not once"; \
	done

# The oldest versions that pyproject.toml allows, with one backend at a time: make oldest BACKEND=torch. Old packages
# warn of their own code; that is no error here. Of each extra, tests that use it.
OLDEST := build/oldest
OLDEST_EXTRAS := pretrained,skeletons,pyav,hub,grain,parquet,tune,tensorboard,wandb,viz,export,web,serve,ray
OLDEST_TESTS ?= $(addprefix tests/test_,$(addsuffix .py,layers_steps recognizer cli_predict files zoo_spec cluster \
	data_decoders data_grain data_parquet deploy_export examples_serve hub insight_figures training_folder tuning_space))
oldest: $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@set -e; for backend in $(BACKEND); do \
		echo "== oldest versions on $$backend"; \
		$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(OLDEST); \
		$(BIN)/uv pip install --quiet --python $(OLDEST) --resolution lowest-direct ".[$$backend,$(OLDEST_EXTRAS)]"; \
		$(BIN)/uv pip install --quiet --python $(OLDEST) hypothesis packaging pytest; \
		KERAS_BACKEND=$$backend $(OLDEST)/bin/keras-actrec doctor; \
		KERAS_BACKEND=$$backend $(OLDEST)/bin/python -P -m pytest -W default $(OLDEST_TESTS); \
	done

coverage: $(VENV)/.all
	KERAS_BACKEND=$(firstword $(BACKEND)) $(PYTEST) -n 2 --dist worksteal --cov

# Changed files for every parser, or for some: make fuzz PARSERS="torch npz" MINUTES=1
MINUTES ?= 10
fuzz: $(VENV)/.all
	KERAS_BACKEND=$(firstword $(BACKEND)) $(BIN)/python tests/fuzz.py --minutes $(MINUTES) $(PARSERS)

# Keras-actrec itself is quiet unless this is set.
test oldest coverage fuzz bench: export TF_CPP_MIN_LOG_LEVEL ?= 2

# What Python has compiled is kept, whatever the environment says: each of many processes would do it again.
export PYTHONDONTWRITEBYTECODE :=

# Most programs of the tests run once: JAX is to compile them quickly and not well.
test oldest coverage fuzz: export JAX_DISABLE_MOST_OPTIMIZATIONS ?= 1
test coverage fuzz: export XLA_FLAGS ?= --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1
test coverage fuzz: export OMP_NUM_THREADS ?= 1
test coverage fuzz: export TF_NUM_INTRAOP_THREADS ?= 1
test coverage fuzz: export TF_NUM_INTEROP_THREADS ?= 1

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in build/docs/site. A warning is an error.
docs: $(VENV)/.all
	KERAS_BACKEND=$(firstword $(BACKEND)) $(BIN)/python docs/build.py

# The notebooks of examples/, made of their scripts and run.
notebooks: $(VENV)/.all
	KERAS_BACKEND=torch $(BIN)/python docs/notebooks.py

bench: $(VENV)/.all
	$(BIN)/keras-actrec bench data
	@set -e; for program in benchmarks/recurrent_steps.py benchmarks/depthwise.py benchmarks/gate_shift.py \
		benchmarks/whole_networks.py; do \
		echo "== $$program"; \
		$(BIN)/python $$program; \
	done

# Which packages have a known hole, in the versions of constraints.txt.
advisories: $(VENV)/.audit
	@$(CHECK_ADVISORIES)
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off

# Under which license each installed package is. One whose license would be that of all that uses it is an error.
licenses: $(VENV)/.all $(VENV)/.audit
	$(BIN)/pip-licenses --from mixed --order license --format markdown \
		--partial-match --fail-on "GNU General Public License;GNU Affero;AGPL"

# One stamp a set of packages. pyproject.toml and constraints.txt are the only reasons to install again.
$(VENV)/.user: $(RULES) | $(BIN)/pip
	$(INSTALL) --editable ".[jax,pretrained,viz]"
	@$(CHECK_OPENCV)
	@touch $@

# Python compiles what is imported; pip would compile all of it, for 40 seconds.
$(VENV)/.all: $(RULES) | $(BIN)/pip
	$(INSTALL) --no-compile --editable ".[$(EXTRAS)]"
	@$(CHECK_OPENCV)
	@touch $@

$(VENV)/.lint: constraints.txt | $(BIN)/pip
	$(INSTALL) ruff mypy numpy pydantic rich tomli-w typer
	@touch $@

# The newest: they know most.
$(VENV)/.audit: | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit pip-licenses
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || \
		{ echo "error: Python 3.11 or newer is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# What pip-audit asks of each package; without an answer it would find nothing.
ADVISORIES := https://pypi.org/pypi/pip/24.0/json
CHECK_ADVISORIES = $(BIN)/python -c "from urllib.request import urlopen; urlopen('$(ADVISORIES)', timeout=30)" 2>/dev/null || \
	{ echo "error: no network: the advisories at $(ADVISORIES) cannot be reached" >&2; exit 1; }
CHECK_OPENCV = $(BIN)/python -c "import cv2" 2>/dev/null || \
	{ echo "error: OpenCV cannot be imported: apt-get install libgl1 libglib2.0-0" >&2; exit 1; }
