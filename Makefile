# make train: set up .venv where it is not there, and run the main job on the embedded demo corpus.
# make test:  set up .venv where it is not there, and run linter, type checker and tests.
# make docs:  set up .venv where it is not there, and build docs/ and the Python interface as a site in site/.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Kernels that any processor has; tolerances that only hold with this machine's fail.
PLAIN := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1

.PHONY: train test docs clean

train: $(VENV)/installed
	$(BIN)/python train.py model=paper2d features=mel

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist loadfile
	$(PLAIN) $(BIN)/pytest -q tests/features tests/augment/test_effects.py tests/models/test_seresnet.py -k "not cuda and not trains and not tuning and not tuned and not export"

docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "Open site/index.html"

$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): a few minutes, torch is several gigabytes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): a few minutes, torch is several gigabytes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV)
