# Every target sets up what it needs itself, so that the first thing anyone types works.
.PHONY: help setup build install uninstall model nvrtc demo test test-reference test-chaos chaos fuzz gpu-check clean
.DEFAULT_GOAL := help

BIN := .build/release/millrace
SWIFT_BUILD := swift build -c release
# Tests reach into modules, which a release build only allows when asked; so they have a build folder of their own.
TEST_FLAGS := -c release -Xswiftc -enable-testing --scratch-path .build-test
FUZZ_SECONDS := 60
CHAOS_SEED := 1
CHAOS := Tests/Chaos/chaos.py --node .build-test/release/ChaosNode --seed $(CHAOS_SEED)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install the Debian/Ubuntu packages that building and testing need
	@scripts/setup

build: setup ## build the release binary, .build/release/millrace
	$(SWIFT_BUILD) --product millrace

PREFIX := /usr/local
SYSCONFDIR := /etc
UNITDIR := /etc/systemd/system
UNITS := millrace-worker@.service millrace-forwarder.service millrace.target

install: ## install the program and its systemd units (PREFIX, DESTDIR, UNITDIR, SYSCONFDIR)
	@test -x $(BIN) || $(MAKE) build
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/millrace
	install -d -m 755 $(DESTDIR)$(SYSCONFDIR)/millrace/worker $(DESTDIR)$(UNITDIR) $(DESTDIR)$(PREFIX)/share/doc/millrace
	install -d -m 700 $(DESTDIR)$(SYSCONFDIR)/millrace/keys
	@for unit in $(UNITS); do \
	    sed 's,/usr/local/bin/,$(PREFIX)/bin/,; s,/etc/millrace/,$(SYSCONFDIR)/millrace/,g' systemd/$$unit \
	        > $(DESTDIR)$(UNITDIR)/$$unit && chmod 644 $(DESTDIR)$(UNITDIR)/$$unit || exit 1; done
	install -m 644 systemd/examples/* docs/operations.md $(DESTDIR)$(PREFIX)/share/doc/millrace/
	@test -n "$(DESTDIR)" || ! command -v systemctl >/dev/null || systemctl daemon-reload 2>/dev/null || true

uninstall: ## remove what install put in place; configuration in SYSCONFDIR stays
	rm -f $(DESTDIR)$(PREFIX)/bin/millrace $(addprefix $(DESTDIR)$(UNITDIR)/,$(UNITS))
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/millrace
	@test -n "$(DESTDIR)" || ! command -v systemctl >/dev/null || systemctl daemon-reload 2>/dev/null || true

model: setup ## fetch the demo model (SmolLM2-135M-Instruct, 98 MB) into the cache
	@scripts/fetch-model smollm2

demo: build model ## run jobs/hello.jsonl on the demo model and show the results
	@scripts/demo $(BIN)

nvrtc: setup ## fetch NVRTC (83 MB) into the cache, to compile the CUDA kernels without a GPU
	@scripts/fetch-nvrtc >/dev/null || [ $$? -eq 2 ]

# One at a time: many tests run servers and watch clocks, and two cores are soon full.
test: setup model nvrtc ## set up everything and run all tests
	scripts/test $(TEST_FLAGS) --no-parallel

test-reference: setup ## check against the reference data in $$MILLRACE_REFERENCE (default ../shared/reference)
	@scripts/fetch-model smollm2
	@scripts/fetch-model gemma3-270m
	scripts/test $(TEST_FLAGS) --filter ReferenceTests

test-chaos: setup ## kill, stop, cut off and poison processes on a real Redis, and check what is left
	Tests/Chaos/test_checker.py
	swift build $(TEST_FLAGS) --product ChaosNode
	$(CHAOS)

chaos: setup ## the same in large (CHAOS_SEED=n)
	swift build $(TEST_FLAGS) --product ChaosNode
	$(CHAOS) --requests 20000 --batches 20 --workers 8 --look-s 5 --patience-s 900

fuzz: setup ## mutate checkpoint files for FUZZ_SECONDS (default 60) and feed them to the readers
	swift run $(TEST_FLAGS) FuzzCheckpoint --seconds $(FUZZ_SECONDS) --corpus Tests/Fixtures/corpus

gpu-check: setup ## pack dist/gpu-check, to be run on a machine with a GPU (and run it, where this one has one)
	scripts/gpu-bundle
	@! $(BIN) devices | grep -q '^cuda:' || dist/gpu-check/gpu-check

clean: ## remove build products
	rm -rf .build .build-test
