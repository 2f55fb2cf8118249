# Everything a developer does here. Needs Debian 12 or later with node, npm, make, g++ and python3.
#
#   make            build: npm packages, native addon, TypeScript; each only when its inputs changed
#   make lint       linters and formatters, which change nothing
#   make test       unit tests, on this machine's Node and on the current one
#   make test-hostile   of those, the attacks alone, with a table of what each came to
#   make interop    tests against the real programs (see scripts/peers.sh), after those with sanitizers
#   make test-asan  tests that drive the addon, with AddressSanitizer and UndefinedBehaviorSanitizer in it
#   make test-vm    tests with real fs-verity, in an emulated machine with a Debian kernel (see scripts/vm.sh)
#   make bench      benchmarks against the real programs; ARGS="--cases registry,registry-push" for those at a registry
#                   alone, ARGS="--help" tells what else can be chosen
#   make demo       a containers-storage image becomes a composefs repository, step by step
#   make clean      remove everything that was built
#
# JOBS=n limits parallel compiler runs (default: one per processor).
JOBS ?= $(shell nproc)
export JOBS

sources := $(shell find $(wildcard src test bench) -name '*.ts' -o -name '*.cts')
native := $(shell find native -type f) binding.gyp

.PHONY: build lint test test-hostile test-asan interop test-vm bench demo clean
build: build/Release/cfsbridge.node dist/.compiled

node_modules/.installed: package-lock.json scripts/dependencies.sh
	@scripts/check-tools.sh
	@scripts/dependencies.sh
	@touch $@

build/Release/cfsbridge.node: $(native) scripts/build-addon.mjs scripts/node-headers.mjs node_modules/.installed
	@node scripts/build-addon.mjs .
	@touch $@

dist/.compiled: $(sources) tsconfig.json scripts/compile.mjs scripts/code-cache.mjs node_modules/.installed
	@node scripts/compile.mjs
	@touch $@

lint: node_modules/.installed
	@node scripts/lint.mjs

test: build
	@node scripts/run-tests.mjs unit

test-hostile: build
	@node scripts/run-tests.mjs hostile

test-asan: build
	@node scripts/test-asan.mjs

interop: test-asan
	@scripts/mkstore.sh || echo 'interop: the real store could not be made'
	@node scripts/run-tests.mjs interop

test-vm: build
	@scripts/vm.sh

bench: build
	@node dist/bench/main.js $(ARGS)

demo: build
	@node dist/test/demo/demo.js

clean:
	rm -rf build dist .cache
	[ -L node_modules ] || rm -rf node_modules
