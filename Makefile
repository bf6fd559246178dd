# `make` lists the targets. Everything runs in .venv, made from the locked requirements.txt.

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help environment quickstart repro ui test browser postgresql bench lint lock audit

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

environment: $(BIN)/.complete ## make the environment .venv from requirements.txt

$(BIN)/.complete: requirements.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "error: Python 3.11 to 3.13 is needed; set PYTHON=python3.11")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

quickstart: environment repository ## the digits study from start to report; needs no data, under 2 minutes
	dvc repro --quiet report@digits
	dvc repro --quiet --single-item site
	@echo && cat reports/digits/table.txt && echo && echo "Report: $(CURDIR)/reports/digits/index.html"

repro: environment repository ## every study of params.yaml; fetches MNIST, CIFAR-10 and IMDB (or set DATASETS_MIRROR)
	dvc repro

.PHONY: repository
repository: # DVC wants a git repository; a downloaded archive of the project is none yet
	@git rev-parse --git-dir >/dev/null 2>&1 || git init --quiet

ui: environment ## compare the runs in the MLflow UI on http://127.0.0.1:5000
	MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --workers 1

test: environment ## the whole test suite, two files at a time
	python -m pytest --numprocesses 2 --dist loadfile

browser: environment ## a Chromium for the tests of the report site and the MLflow UI, where there is none
	@command -v chromium || command -v google-chrome || { apt-get update --quiet && apt-get install --yes --no-install-recommends chromium; } \
		|| playwright install chromium

postgresql: ## PostgreSQL for the tests of the tracking server, where there is none
	@command -v initdb || ls /usr/lib/postgresql/*/bin/initdb || { apt-get update --quiet && apt-get install --yes --no-install-recommends postgresql; }

bench: environment ## the speed of trainer and search against keras.Model.fit; what the pipeline and many workers cost; about 35 minutes
	dvc repro --quiet $(addprefix split@,mnist cifar10 imdb gaps)
	python -m benchmarks.speed
	python -m benchmarks.search
	python -m benchmarks.pipeline
	python -m benchmarks.scaling

lint: environment ## style of the Python code
	ruff check . && ruff format --check .

lock: ## renew requirements.txt from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --output-file requirements.txt

audit: ## known vulnerabilities of the locked packages (needs uv and a network)
	uvx pip-audit==2.10.1 --strict --disable-pip --require-hashes --requirement requirements.txt
