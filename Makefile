# make train: set up .venv where it is not there, and run the main job on the embedded demo corpus.
# make test:  set up .venv where it is not there, and run linter, type checker and tests.
# make docs:  set up .venv where it is not there, and write the pages of the Python interface to docs/api.
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
	$(PLAIN) $(BIN)/pytest -q tests/features tests/test_effects.py tests/models/test_seresnet.py -k "not cuda and not trains and not tuning and not tuned and not export"

# A package's __all__ hides its modules from pdoc, so they are named.
docs: $(VENV)/installed-dev
	$(BIN)/pdoc --docformat google --output-directory docs/api ser '!ser.commands' $(filter-out ser.commands.%,$(subst /,.,$(basename $(wildcard ser/*/[a-z]*.py))))

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
