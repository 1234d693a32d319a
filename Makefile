# make app    start the studio; make test    run every check; both make the environment in .venv first if needed
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ADDRESS ?= 127.0.0.1
PORT ?= 8501

.PHONY: app test test-long check docs fuzz browser deployment samples sweeps screenshots benchmarks fashion results \
  results-quick load soak clean

app: $(VENV)/.app
	@echo "The studio is at http://$(ADDRESS):$(PORT)"
	$(BIN)/python -m streamlit run app.py --server.address=$(ADDRESS) --server.port=$(PORT) --server.headless=true

test: $(VENV)/.test browser check

check:
	$(BIN)/python -m tests.lock check $(VENV)/app.json $(VENV)/test.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -m "not alone and not long" -n 2 --dist worksteal
	$(BIN)/python -m pytest -m "alone and not long"

# what takes minutes and seldom breaks by itself, and what needs nginx and systemd
test-long: $(VENV)/.test browser deployment
	$(BIN)/python -m pytest -m long -n 2 --dist worksteal

$(VENV)/.app: constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --no-compile --report $(VENV)/app.json -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/.app
	$(BIN)/python -m nettrim_core.warm & compiling=$$!; \
	  $(PIP) install --quiet --no-compile --report $(VENV)/test.json -c constraints.txt -e ".[test]" && wait $$compiling
	touch $@

# The documentation, into site/: site/index.html opens from the disk.
docs: $(VENV)/.test
	$(BIN)/python -m zensical build --strict

# make fuzz SECONDS=600    damage good files at random, in a child with bounded memory; every reader must refuse in words
SECONDS ?= 60
fuzz: $(VENV)/.test
	$(BIN)/python -m tests.fuzz $(SECONDS)

# The browser tests drive the system's Chromium. Debian's is installed where that is possible; elsewhere install any
# Chromium or Chrome, or name one in CHROMIUM. Without a browser the tests fail.
browser:
	@if ! sh -c 'command -v "$${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome' >/dev/null; then \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-liberation; \
	  else echo "no Chromium found; the browser tests will fail. Install one or set CHROMIUM to its path."; fi; fi

# The tests of docs/deploy.md put nginx in front of the studio and have systemd look at the unit. Debian's are installed
# where that is possible; what Debian would start is not started. Without them the tests fail.
deployment:
	@if ! PATH="$$PATH:/usr/sbin" sh -c 'command -v nginx && command -v systemd-analyze' >/dev/null; then \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends nginx systemd; \
	  else echo "no nginx or no systemd-analyze found; the tests of the deployment will fail. Install both."; fi; fi

samples: $(VENV)/.test
	$(BIN)/python sample_models/make.py

sweeps: $(VENV)/.app
	$(BIN)/python sample_models/sweep.py

screenshots: $(VENV)/.test browser
	$(BIN)/python docs/screenshots.py

benchmarks: $(VENV)/.test
	$(BIN)/python benchmarks/lenet_certified.py
	$(BIN)/python benchmarks/solver.py
	$(BIN)/python benchmarks/budget.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/faults.py

# Debian's package of Fashion-MNIST, where that is possible; the experiment on it refuses without.
fashion:
	@if ! test -d /usr/share/datasets/fashion-mnist; then \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && apt-get install -y -qq --no-install-recommends dataset-fashion-mnist; \
	  else echo "no Fashion-MNIST found; put its four files into /usr/share/datasets/fashion-mnist"; exit 1; fi; fi

# The papers' experiments: hours, but what is measured is kept, and the next time goes on from there.
results: $(VENV)/.test fashion
	$(BIN)/python -m benchmarks.papers
	$(BIN)/python -m benchmarks.papers.document

results-quick: $(VENV)/.test
	$(BIN)/python -m benchmarks.papers --quick

# many visitors at once, on a server of its own: five minutes and what is then compared, or half an hour
load: $(VENV)/.test
	$(BIN)/python benchmarks/load.py

soak: $(VENV)/.test
	$(BIN)/python benchmarks/load.py --seconds 1800

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis site
