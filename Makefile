# `make demo` and `make test` are the whole set-up: both install what is missing first.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)

.PHONY: demo test deps deps-test fmt lint build bench bench-server interop versus clean-demo

demo: deps ## build, start a local server with sample streams, open the window
	@.ci/demo

test: deps-test fmt lint build ## everything that CI checks
	@.ci/test

deps:
	@.ci/deps

deps-test:
	@.ci/deps test

fmt:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings

# All targets in one go, so that tests and programs share one build of every dependency.
build:
	cargo build --workspace --all-targets --locked

bench: deps-test ## the figures of docs/performance.md, measured on this machine
	@.ci/bench

bench-server: ## what the server's delivery costs beside nginx, and a crowd of simulated viewers
	@server/benches/delivery $(ARGS)

interop: ## plays VOD and live in hls.js, dash.js, Shaka, ffmpeg, mpv, GStreamer and Weir
	@server/interop/run $(ARGS)

versus: ## the same film over the same bad links in hls.js, dash.js, Shaka, mpv and Weir, in real time
	@server/interop/run versus $(ARGS)

clean-demo: ## forget the sample streams
	rm -rf .demo
