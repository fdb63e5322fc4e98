# make install: set up .venv where it is not there; then .venv/bin/ser predict clip.wav answers.
# make train: set up .venv where it is not there, and run the main job on the embedded demo corpus.
# make test:  set up .venv where it is not there, and run linter, type checker and tests.
# make docs:  set up .venv where it is not there, and build docs/ and the Python interface as a site in site/.
# make pretrained: train the model in ser/pretrained from data/crema_d, and say whether the file is the same.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Kernels that any processor has; tolerances that only hold with this machine's fail.
PLAIN := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 OMP_NUM_THREADS=1

SHIPPED := outputs/pretrained

.PHONY: install train test docs pretrained clean

install: $(VENV)/installed

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

# One thread, so that the sums have one order on every machine of a kind.
pretrained: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python train.py experiment=pretrained dataset=crema_d split=kfold hydra.run.dir=$(SHIPPED)/fold
	OMP_NUM_THREADS=1 $(BIN)/python scripts/retrain.py $(SHIPPED)/fold --out $(SHIPPED)/all --half
	cmp $(SHIPPED)/all/checkpoints/final.ckpt ser/pretrained/checkpoints/final.ckpt

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
