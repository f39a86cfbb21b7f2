# A thin face over scripts/ and CMake: every target can be run by hand with what it prints.
.DEFAULT_GOAL := help
.PHONY: help deps build test demo check-format format tidy asan clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

deps: ## Install what is missing: Debian packages, CRIU (root)
	@scripts/setup

build: ## Build everything into build/dev
	@scripts/build dev

test: ## deps, build, all tests, sanitizers, style (root)
	@scripts/test

demo: ## deps, build, then the whole story in one run (root); ARGS="--json out.json"
	@scripts/demo $(ARGS)

check-format: ## Check the layout of the C++ sources
	@tests/style/format

format: ## Put the C++ sources into that layout
	@tests/style/format --fix

tidy: build ## clang-tidy over all sources (takes minutes)
	@tests/style/tidy build/dev all

asan: ## Unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/build asan icon_unit_tests
	@ctest --test-dir build/asan -L '^unit$$' -j2 --output-on-failure

clean: ## Remove build/; .deps/ (CRIU) stays
	rm -rf build
