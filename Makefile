# Two commands for a fresh machine: `make demo` and `make test`. Each makes its own .venv first.
PYTHON   ?= python3
PIP_ARGS ?=
BIN      := .venv/bin

# What `make demo` draws with, and what it trains: make demo NETWORK=digits PRESET=digits
NETWORK   = fashion
PRESET    = fashion-quick
RUN       = runs/$(PRESET)
FIRST     = runs/$(NETWORK)

# How long `make storm` goes on
MINUTES   = 3

.DEFAULT_GOAL := help
.PHONY: help demo test check lock site-check notebooks-test pytest test-browser notebooks export readme benchmark laboratory storm hostile gpu docs lab clean

help:  ## list the targets
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "hdfm needs Python 3.10 or newer; name one: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.run: .venv/.made setup.py settings.ini
	@echo "Installing hdfm and PyTorch into .venv (some minutes, some GB, once)"
	$(BIN)/pip install $(PIP_ARGS) --disable-pip-version-check -q -e .
	@touch $@

.venv/.dev: .venv/.made setup.py settings.ini
	@echo "Installing hdfm, PyTorch and the development tools into .venv (some minutes, some GB, once)"
	$(BIN)/pip install $(PIP_ARGS) --disable-pip-version-check -q -e '.[dev,browser]'
	@touch $@ .venv/.run

demo: .venv/.run  ## draw with a trained network at once; then train one and measure it (five minutes, no GPU)
	$(BIN)/hdfm sample $(NETWORK) --out $(FIRST).png --film $(FIRST)-way.png
	@echo "Look at $(FIRST).png and $(FIRST)-way.png; meanwhile a network is trained, page: $(RUN)/index.html"
	$(BIN)/hdfm train $(PRESET) $$($(BIN)/python tools/demo.py --data $(PRESET)) --out $(RUN) --resume auto
	$(BIN)/hdfm sample $(RUN) --out $(RUN)/drawn.png --film $(RUN)/way.png
	$(BIN)/hdfm evaluate $(RUN)
	@echo
	@$(BIN)/python tools/demo.py $(RUN) $(FIRST).png $(FIRST)-way.png $(RUN)/drawn.png $(RUN)/way.png

test: check notebooks-test pytest  ## everything: agreement, notebooks, pytest
	@$(BIN)/python tools/green.py

check: .venv/.dev  # notebooks clean, library and README exported from them, fit for the site and its readers
	$(BIN)/python tools/agree.py
	$(BIN)/python tools/style.py
	$(BIN)/python tools/docs.py --check
	$(BIN)/python tools/book.py

notebooks-test: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/nbdev_test --n_workers 2 --timing

pytest: .venv/.dev
	$(BIN)/python -m pytest

test-browser: .venv/.dev  ## every notebook in a real JupyterLab, pictures in _screenshots/ (needs Chromium or Chrome; half an hour)
	$(BIN)/python -m pytest -n0 -s tests/test_jupyterlab.py tests/test_colab.py --notebooks all --screenshots _screenshots

notebooks: .venv/.dev  ## run the notebooks and store their outputs: make notebooks NB=nbs/00_core.ipynb
	$(BIN)/python tools/execute.py $(NB)

export: .venv/.dev  ## write hdfm/*.py and README.md from the notebooks
	$(BIN)/nbdev_clean
	$(BIN)/nbdev_export
	$(BIN)/python tools/readme.py

benchmark: .venv/.dev  ## time the heat operator against scipy and against the plain way
	$(BIN)/python benchmarks/heat_operator.py

benchmark-%: .venv/.dev  ## another experiment of benchmarks/: benchmark-digits, -digits-sampling, -toy, -solvers, -flow-map, -multiscale, -restoration (half an hour to four)
	$(BIN)/python benchmarks/$(subst -,_,$*).py

laboratory: .venv/.dev  ## what blur is worth, one change at a time (hours, resumable; --list says what is done)
	$(BIN)/python benchmarks/laboratory.py

storm: .venv/.dev  ## break trainings in every way and compare how they end, three minutes: make storm MINUTES=60
	$(BIN)/python benchmarks/storm.py --minutes $(MINUTES)

hostile: .venv/.dev  ## ten thousand hostile files and ten thousand hostile arguments (half an hour)
	HDFM_EXAMPLES=10000 $(BIN)/python -m pytest -n0 tests/test_hostile.py tests/test_properties.py

gpu: .venv/.dev  ## what only a GPU can say, measured on one (40 minutes, resumable, no network)
	$(BIN)/python benchmarks/gpu.py

lock: .venv/.dev  ## pin all requirements, for every Python and system, in requirements.lock (needs uv)
	uv pip compile -q --refresh --universal --python-version 3.10 --all-extras setup.py -o requirements.lock

docs: .venv/.dev  ## build the site into _docs (needs Quarto)
	$(BIN)/python tools/docs.py
	cd _proc && QUARTO_PYTHON="$(CURDIR)/$(BIN)/python" quarto render --no-cache
	rm -rf _docs && mv _proc/_docs _docs

site-check: docs  ## build the site and look at every page of it with a browser (needs Quarto and Chromium)
	$(BIN)/python tools/check_site.py

lab: .venv/.dev  ## open the first chapter in JupyterLab
	$(BIN)/jupyter lab nbs/start.ipynb

clean:  ## remove the environment and what builds leave behind
	rm -rf .venv build dist _docs _proc *.egg-info
