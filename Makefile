# Everything a person does with this repository; `make` alone lists it. `scripts/` holds what is longer than a line.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-sanitized load fuzz bench lint format docs clean

# What `scripts/setup` unpacked comes before what the system has.
export PKG_CONFIG_PATH := $(CURDIR)/.deps/lib/pkgconfig$(if $(PKG_CONFIG_PATH),:$(PKG_CONFIG_PATH))

# The one release flavour: every release build uses these flags, so that nothing is built twice.
RELEASE := -c release --static-swift-stdlib

CHORALE := .build/release/chorale
SWIFT_SOURCES = $(wildcard Package.swift Sources Tests Benchmarks Fuzz Examples)
SHELL_SCRIPTS = $(shell grep -l '/env bash$$' $(wildcard .ci/* scripts/* Fuzz/* Benchmarks/*) 2>/dev/null)
DOCUMENTED := CryptoPrimitives Secp256k1 LibP2P LibP2PPosix MuSig2 Bitcoin Signing SessionStore SigningNode SimulationKit

# Options for the program that a target runs: make demo ARGS="--signers 5 --threshold 3"
ARGS ?=
# For how long `make fuzz` tries each fuzzer.
SECONDS_EACH := $(if $(filter command line environment,$(origin SECONDS)),$(SECONDS),60)

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## bring libsodium, SQLite, pkg-config and libsecp256k1 (silent when nothing is to do)
	@scripts/setup

build: setup  ## build the release executable, .build/release/chorale
	swift build $(RELEASE) --product chorale

# What happened as a picture, where nodes say something and nobody asked for another file. An option's value may hang at it (--transport=folder).
DEMO_PICTURE := $(if $(filter --transport% --diagram% --json,$(ARGS)),,--diagram .build/demo.svg)

demo: build  ## several processes, one signature: the main job, end to end (ARGS="--signers 5 --threshold 3")
	$(CHORALE) demo $(DEMO_PICTURE) $(ARGS)

test:  ## set everything up, build, and run every test (ARGS="--only consensus" for one stage)
	@scripts/setup --tests
	@scripts/test $(ARGS)

# The comparison with the plain-Swift reference is one thread's arithmetic, fifty times slower when watched: a part of its cases.
test-sanitized: export CHORALE_CASES ?= 160
# Machines without a thread in them, and whole networks of them: nothing that a thread sanitizer could see, and most of its time.
THREADLESS := LibP2P(Kad|Muxer|PubSub|Services|Swarm|WebSocket)?Tests
test-sanitized: setup  ## run the unit tests under the thread sanitizer, then the address sanitizer
	swift build --build-tests --sanitize=thread --scratch-path .build/sanitized-thread
	TSAN_OPTIONS=suppressions=$(CURDIR)/scripts/thread-sanitizer-suppressions scripts/unit-tests thread-sanitizer \
		--sanitize=thread --scratch-path .build/sanitized-thread --skip '$(THREADLESS)'
	swift build --build-tests --sanitize=address --scratch-path .build/sanitized-address
	# The leak checker counts what the test runner itself leaves at its end.
	ASAN_OPTIONS=detect_leaks=0 scripts/unit-tests address-sanitizer --sanitize=address --scratch-path .build/sanitized-address

load: setup  ## put a node under load: thousands of connections, streams whose readers stand still (ARGS="--quick")
	swift build $(RELEASE) --product LoadPeer
	scripts/test-load $(ARGS)

fuzz: setup  ## run the fuzzers, SECONDS=60 each
	@[ -x Fuzz/run ] || { echo "make fuzz: there is no Fuzz/run" >&2; exit 1; }
	Fuzz/run $(SECONDS_EACH)

bench: build  ## run the benchmarks: tables, JSON and pictures in Benchmarks/results/
	@[ -f Benchmarks/Package.swift ] || { echo "make bench: there is no Benchmarks package" >&2; exit 1; }
	swift build $(RELEASE) --package-path Benchmarks --scratch-path .build/benchmarks
	.build/benchmarks/release/Benchmarks $(ARGS)

lint:  ## check the formatting of Swift sources and the syntax of shell scripts
	swift format lint --strict --parallel --recursive $(SWIFT_SOURCES)
	@for script in $(SHELL_SCRIPTS); do bash -n "$$script" || exit 1; done

format:  ## format the Swift sources in place
	swift format --in-place --parallel --recursive $(SWIFT_SOURCES)

docs: setup  ## write the documentation of the public modules to docs-out/
	@scripts/documentation $(DOCUMENTED)

clean:  ## remove everything built; .deps and .venv stay
	rm -rf .build docs-out
