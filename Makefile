# Everything a developer does here. Needs Debian 12 or later with node, npm, make, g++ and python3.
#
#   make            build: npm packages, native addon, TypeScript; each only when its inputs changed
#   make test       unit tests, on this machine's Node and on the current one
#   make interop    tests against the real programs (see scripts/peers.sh)
#   make test-vm    tests with real fs-verity, in an emulated machine with a Debian kernel (see scripts/vm.sh)
#   make bench      benchmarks against the real programs; ARGS="--help" tells what can be chosen
#   make demo       a containers-storage image becomes a composefs repository, step by step
#   make clean      remove everything that was built
#
# JOBS=n limits parallel compiler runs (default: one per processor).
JOBS ?= $(shell nproc)
export JOBS

sources := $(shell find $(wildcard src test bench) -name '*.ts' -o -name '*.cts')
native := $(wildcard native/*) binding.gyp

.PHONY: build test interop test-vm bench demo clean
build: build/Release/cfsbridge.node dist/.compiled

node_modules/.installed: package-lock.json scripts/dependencies.sh
	@scripts/check-tools.sh
	@scripts/dependencies.sh
	@touch $@

build/Release/cfsbridge.node: $(native) node_modules/.installed
	@node scripts/build-addon.mjs .
	@touch $@

dist/.compiled: $(sources) tsconfig.json node_modules/.installed
	@node scripts/compile.mjs
	@touch $@

test: build
	@node scripts/run-tests.mjs unit

interop: build
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
