# Shortcuts only: docs/install.md has the commands without make.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
SERVICES := .venv/.services
SPHINX := .venv/.sphinx
SITE := docs/_build/html/index.html
PAGES := CHANGELOG.md $(shell find docs sb3_atari_course examples/notebooks -type f \
  -not -path '*/_build/*' -not -path '*/__pycache__/*')

# make breakout: length in agent steps; within ten minutes on 2 cores
STEPS ?= 100000
SEED ?= 1
CONF := hyperparams/dqn_laptop.yml
GAME := --env BreakoutNoFrameskip-v4 -f logs

LESSONS := $(sort $(wildcard examples/lesson*.py))

.PHONY: help install breakout hour lessons notebooks student test test-all test-services
.DELETE_ON_ERROR:
.PHONY: docs format lint types check lock clean

help:
	@echo "make breakout    train DQN on Breakout through RL Zoo, record, score and plot it (STEPS=100000)"
	@echo "make hour        the same by FastDQN, in an hour"
	@echo "make lessons     run all lessons of the course, each within seconds"
	@echo "make notebooks   run them at full size, with outputs: examples/notebooks/ (LESSONS=...)"
	@echo "make student     write the students' versions, with blanks: examples/student/"
	@echo "make test        run the tests, in about three minutes"
	@echo "make test-all    run the slow ones too, and those that start processes"
	@echo "make test-services   run those that start a server, a browser or long processes"
	@echo "make check       format, lint, layers, types: what CI checks in addition to the tests"
	@echo "make docs        build the documentation: docs/_build/html/index.html"
	@echo "make install     only set up .venv; the others do this automatically"

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@echo "Installing about 150 packages into .venv: one to five minutes"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[test]"
	@touch $(STAMP)

$(SERVICES): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[test,services]"
	@touch $(SERVICES)

$(SPHINX): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable ".[test,docs]"
	@touch $(SPHINX)

breakout: RUN = --algo dqn $(GAME)
breakout: HOW = -conf $(CONF) -n $(STEPS)
hour: RUN = --algo fast_dqn $(GAME)
hour: HOW = -conf hyperparams/fast_dqn_laptop.yml --vec-env native --save-freq 50000 --eval-freq -1

breakout hour: $(STAMP)
	$(BIN)/python -m sb3_atari_course train $(RUN) $(HOW) --seed $(SEED) -P --log-interval 200
	$(BIN)/python -m sb3_atari_course record $(RUN) -n 500
	$(BIN)/python -m sb3_atari_course evaluate $(RUN)
	$(BIN)/python -m sb3_atari_course plot $(RUN)

# Two at a time, one thread each: for networks this small, two are slower.
lessons: $(STAMP)
	@printf '%s\n' $(LESSONS) | OMP_NUM_THREADS=1 xargs -P 2 -I LESSON sh -c \
	  'log=$$($(BIN)/python LESSON --smoke 2>&1); end=$$?; echo "== LESSON"; echo "$$log"; exit $$end'

notebooks: $(STAMP)
	$(BIN)/python -m sb3_atari_course.course.notebooks examples/notebooks $(LESSONS)

student: $(STAMP)
	$(BIN)/python -m sb3_atari_course student examples/student $(AGAIN)

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test: $(STAMP)
	$(PYTEST) -m "not slow and not process and not services"

test-all: $(STAMP)
	$(PYTEST) -m "not services"

test-services: $(SERVICES) $(SITE)
	$(PYTEST) -m services

docs: $(SITE)
	@echo $(SITE)

# Warnings are errors. The second line lists external links in _build/links/output.json.
$(SITE): $(SPHINX) $(PAGES)
	$(BIN)/sphinx-build -q -W --keep-going -E -b html -d docs/_build/doctrees docs docs/_build/html
	$(BIN)/sphinx-build -q -W -b linkcheck -d docs/_build/doctrees docs docs/_build/links
	@touch $(SITE)

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

types: $(STAMP)
	$(BIN)/mypy

check: lint types

# Pins all versions, for all platforms and Python versions, in one file, for reproducible installs.
lock: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	@echo "torch==2.13.0" > .venv/pins.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 \
	  --constraint .venv/pins.txt --no-annotate --no-header --upgrade --output-file requirements.lock

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache
