# The two commands: `make repro` and `make test`. Everything they need is installed into .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export NO_ALBUMENTATIONS_UPDATE := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup repro verify recipes test lint format bench fuzz siege audit demo-sharing demo-own-project clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(DEV)  ## install everything into .venv, with what tests and linters need

$(RUN): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e . -c constraints.txt
	touch $(RUN)

$(DEV): $(RUN)
	$(PIP) -e '.[dev]' -c constraints.txt
	touch $(DEV)

repro: $(RUN)  ## run the whole pipeline and print the metrics
	dvc repro
	@python pipeline/show.py

verify: $(RUN)  ## run it all again in a fresh clone, on 1 and on 4 workers, and compare with dvc.lock
	flmd verify $(or $(VERIFY),--workers 1 --workers 4)

recipes: $(RUN)  ## queue every recipe as a DVC experiment; `dvc queue start` runs them
	flmd recipe queue

test: $(DEV)  ## run the tests, two files at a time; one by one: TESTS="-n 0"
	OMP_NUM_THREADS=1 python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS)

lint: $(DEV)  ## ruff, mypy, and which room may import which
	ruff check .
	ruff format --check .
	mypy
	lint-imports --no-logo

format: $(DEV)  ## let ruff rewrite the code
	ruff check --fix .
	ruff format .

fuzz: $(DEV)  ## hostile input for every reader, other cases each time (CASES=200000)
	python -m tests.fuzzing --count $(or $(CASES),200000)

siege: $(DEV)  ## kill, damage and starve flmd, ten minutes (MINUTES=60), other cases each time (SEED=7)
	MINUTES=$(MINUTES) SEED=$(SEED) python -m tests.siege

audit: $(DEV)  ## known weaknesses of every package, and sbom.json, a bill of materials (CycloneDX)
	test -x $(VENV)-audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)-audit && \
	    $(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit cyclonedx-bom; }
	$(VENV)-audit/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o sbom.json $(BIN)/python
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

bench: $(DEV)  ## measure against peers (installs the extra `bench`)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,bench]' -c constraints.txt
	test -x $(VENV)-peers/bin/datum || { $(PYTHON) -m venv $(VENV)-peers && \
	    $(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check datumaro datasets webdataset; }
	python -m benchmarks

demo-sharing: $(DEV)  ## two clones, one remote, two experiments: writes docs/sharing.md from what is printed
	python docs/demo/sharing.py

demo-own-project: $(DEV)  ## an empty folder, the wheel, one's own pictures: writes docs/your-own-project.md
	python docs/demo/own_project.py

clean:  ## remove .venv and the outputs of the pipeline (the DVC cache stays)
	rm -rf $(VENV) data/raw data/stores data/model data/pretrained.* data/*.h5
