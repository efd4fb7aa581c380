# One virtual environment, a few commands. Everything runs from the repository's root.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH := $(shell sed -n 's/^\(torch==.*\)/\1/p' constraints.txt)
# loadscope keeps a module's tests on one worker, so that a module's fixtures are made once.
PYTEST := $(BIN)/pytest -n 2 --dist loadscope
SHARD ?= 1/1
# What make bench-full exports where its bundle is absent, and measures in turns.
PRECISIONS ?= fp32,int8
BENCH ?= demo/bench
DURATIONS ?= 10
BATCH ?= 1
# What the C++ library is built with, and where: see docs/cpp.md for other machines.
CPP := build/cpp
DEPENDENCIES := build/cpp-dependencies
CMAKE := cmake -S cpp -G "Unix Makefiles" -DCMAKE_PREFIX_PATH=$(CURDIR)/$(DEPENDENCIES)/prefix/usr \
  -DONNXRUNTIME_ROOT=$(CURDIR)/$(DEPENDENCIES)/onnxruntime -DS2T_WARNINGS_ARE_ERRORS=ON
CPP_BUNDLE := build/digits-bundle
CPP_VECTORS := build/vectors
JOBS ?= 2
PARALLEL := --jobs=$(JOBS)
FUZZ_SECONDS ?= 20
# What the runtime's tests need of torch and the exporter, made once; and the interpreters that they run on without.
MADE := build/made
LOWEST_PYTHON ?= $(PYTHON)
RUNTIME_PYTHON ?= $(PYTHON)

.DEFAULT_GOAL := help
.PHONY: help venv same-checkout demo test test-all test-lowest test-newest test-tools test-full bench bench-full gpu gpu-venv test-gpu bench-gpu matrix soak cpp cpp-sanitized cpp-fuzzers \
  test-cpp fuzz-cpp check lint types format tree clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/  make \1 \t\2/p' Makefile | expand -t 20
	@echo
	@echo "  PYTHON=python3.12      another interpreter for the environment (3.11 or newer)"
	@echo "  VENV=path              another place for it (default .venv)"
	@echo "  SHARD=i/n              make matrix runs every n-th pair, from the i-th on"
	@echo "  PRECISIONS=fp32,int8   what make bench and bench-full export, where there is no bundle yet"
	@echo "  SOAK_SECONDS=3600 SOAK_SEED=1  how long make soak goes on, earlier runs included, and what it draws"
	@echo "  DURATIONS=2,60 BATCH=8  seconds of audio and utterances at once, for make bench-full"
	@echo "  TORCH_INDEX_URL=url    where torch comes from, for example the index of its CPU builds"

venv: $(STAMP)  ## create .venv and install everything, where that is not done yet

# torch first and by itself: only this step may need another index, that of the CPU builds.
$(STAMP): pyproject.toml constraints.txt | same-checkout
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=python3.11 ..." >&2; \
	  exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) $(TORCH)
	$(BIN)/pip install --quiet -e ".[export,dev]" -c constraints.txt
	echo "$(CURDIR)" > $@

# An environment holds one checkout's commands: a second one would test the first one's code, or take it over in silence.
same-checkout:
	@test ! -s $(STAMP) || test "$$(cat $(STAMP))" = "$(CURDIR)" || test ! -d "$$(cat $(STAMP))" || { \
	  echo "$(VENV) belongs to the checkout $$(cat $(STAMP)), whose code its commands run, and this is $(CURDIR): give this" \
	    "checkout an environment of its own (make VENV=path), or remove $(STAMP) to take that one over" >&2; \
	  exit 1; }

demo: $(STAMP)  ## export the small model of examples/digits and let it write recordings in two languages
	$(BIN)/export-s2t examples/digits/checkpoint -o demo/digits --force
	$(BIN)/run-s2t demo/digits examples/digits/recordings/*.wav --language de
	$(BIN)/run-s2t demo/digits examples/digits/recordings/*.wav --language cy

test: $(STAMP)  ## the tests (minutes)
	$(PYTEST) -m "not broad and not full_size and not gpu"

test-all: $(STAMP)  ## the tests and the wide matrices (under 45 minutes)
	$(PYTEST) -m "not full_size and not gpu"
	$(MAKE) --no-print-directory test-lowest

# The runtime alone: its wheel in an environment without torch, and its tests away from the source.
# $(1) folder, $(2) interpreter, $(3) what pip is told besides.
define test_runtime
	rm -rf $(1)
	mkdir -p $(1)/checkout
	PYTHONPATH=.:tests $(BIN)/python -m support.packaging.built_wheel $(1)
	$(2) -m venv $(1)/environment
	$(1)/environment/bin/pip install --quiet $(1)/dist/*.whl pytest pytest-xdist pytest-timeout hypothesis filelock num2words $(3)
	cp -r tests examples docs cpp README.md CONTRIBUTING.md pyproject.toml constraints.txt $(1)/checkout
	cd $(1)/checkout && S2T_MADE=$(CURDIR)/$(MADE) ../environment/bin/pytest -n 2 --dist loadscope \
	  -m "not broad and not full_size and not gpu" tests/s2t_runtime tests/digits
endef

test-lowest: $(STAMP) $(MADE)/.made  ## the runtime's tests with the lowest versions that it takes, without torch (Python 3.11; 2 minutes)
	@$(LOWEST_PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "The lowest versions have wheels for Python 3.11, $(LOWEST_PYTHON) is $$($(LOWEST_PYTHON) --version 2>&1): make test-lowest LOWEST_PYTHON=python3.11" >&2; \
	  exit 1; }
	$(call test_runtime,build/lowest,$(LOWEST_PYTHON),-c constraints-lowest.txt)

test-newest: $(STAMP) $(MADE)/.made  ## the same with the newest versions, on any interpreter: RUNTIME_PYTHON=python3.13
	$(call test_runtime,build/newest,$(RUNTIME_PYTHON))

$(MADE)/.made: $(STAMP) $(shell find graphs exporter s2t_runtime tests/support examples/digits/checkpoint -name __pycache__ -prune -o -type f -print)
	PYTHONPATH=.:tests:examples/digits $(BIN)/python -m support.digits.made $(MADE)
	touch $@

test-tools:  ## install what some tests skip without: a browser, and an emulator of old processors (Debian, as root)
	@command -v chromium >/dev/null && command -v qemu-x86_64 >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null || { \
	    echo "chromium or qemu-x86_64 is missing, and only root with apt-get could install them: install them" >&2; \
	    exit 1; }; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium qemu-user >/dev/null; }

test-full: $(STAMP)  ## the tests at the real size: 793 million random weights and 1.4 billion (16 GB of memory, 40 minutes)
	$(BIN)/pytest -m full_size -s

# Packages that only a machine with a GPU can use; onnxruntime and onnxruntime-gpu share their files.
gpu-venv: $(STAMP)
	$(BIN)/pip uninstall --quiet --yes onnxruntime onnxruntime-gpu
	$(BIN)/pip install --quiet --no-deps onnxruntime-gpu
	$(BIN)/pip install --quiet "tensorrt>=10.12" "cuda-python>=12.9"
	$(BIN)/doctor-s2t

test-gpu: $(STAMP)  ## the tests that need an NVIDIA GPU; what is missing is said
	$(BIN)/pytest -m "gpu and not full_size"

bench-gpu: $(STAMP)  ## digits and the real size (random weights) on a GPU -> demo/gpu/*/gpu.md
	$(BIN)/export-s2t examples/digits/checkpoint --precision fp32,fp16 -o demo/gpu/digits/bundle --force
	$(BIN)/python -m benchmarks.gpu demo/gpu/digits/bundle --against examples/digits/checkpoint \
	  --durations 2,10 -o demo/gpu/digits
	$(BIN)/export-s2t --random-weights tests/data/xls-r-300m --precision fp32,fp16 \
	  -o demo/gpu/xls-r-300m/bundle --force
	$(BIN)/python -m benchmarks.gpu demo/gpu/xls-r-300m/bundle --against tests/data/xls-r-300m \
	  --durations 2,10,30 -o demo/gpu/xls-r-300m

bench: $(STAMP) $(BENCH)/digits/bundle  ## digits on the CPU: the bundle, eager, CTranslate2 -> demo/bench/digits/latency.html (2 minutes)
	$(BIN)/bench-s2t $(BENCH)/digits/bundle --against examples/digits/checkpoint --peers eager,ctranslate2 \
	  --durations 2,10 --language de --references examples/digits/references.de.tsv -o $(BENCH)/digits \
	  --audio examples/digits/recordings/*.wav

bench-full: $(STAMP) $(BENCH)/xls-r-300m/bundle  ## the real size (random weights) on the CPU -> demo/bench/xls-r-300m/latency.html
	$(BIN)/bench-s2t $(BENCH)/xls-r-300m/bundle --against tests/data/xls-r-300m --peers eager,ctranslate2 \
	  --durations $(DURATIONS) --batch $(BATCH) --beams 1,5 --tokens 40 --first-token 250003 -o $(BENCH)/xls-r-300m

$(BENCH)/digits/bundle: | $(STAMP)
	$(BIN)/export-s2t examples/digits/checkpoint --precision $(PRECISIONS) -o $@

# Random weights say nothing of accuracy, so none of them is left in float32 for its sake.
$(BENCH)/xls-r-300m/bundle: | $(STAMP)
	$(BIN)/export-s2t --random-weights tests/data/xls-r-300m --precision $(PRECISIONS) --budget 0.5 -o $@

gpu: gpu-venv  ## all of it on a fresh machine with an NVIDIA GPU: packages, tests, figures (docs/gpu-results.md)
	-$(MAKE) test-gpu
	$(MAKE) bench-gpu
	-$(BIN)/pytest -m "gpu and full_size"

matrix: $(STAMP)  ## every encoder with every decoder against eager -> docs/support.md (hours; goes on where it stopped)
	PYTHONPATH=.:tests $(BIN)/python -m support.matrix.support_matrix --shard $(SHARD)

# Random trouble, seeded; an interrupted soak goes on where it stopped, and rm -r build/soak begins anew.
SOAK_SECONDS ?= 3600
SOAK_SEED ?= 1
soak: cpp cpp-sanitized cpp-fuzzers $(CPP_BUNDLE)/manifest.json  ## an hour of random models, damaged files, kills and watched memory -> build/soak/summary.md
	PYTHONPATH=.:tests:examples/digits $(BIN)/python -m support.soak --seconds $(SOAK_SECONDS) --seed $(SOAK_SEED) \
	  --jobs $(JOBS) --bundle $(CPP_BUNDLE) --cpp-tests build/cpp-sanitized/tests/s2t-tests --cpp-program $(CPP)/s2t-cli \
	  --cpp-fuzzers build/cpp-fuzz/fuzz $(SOAK_FLAGS)

cpp: $(DEPENDENCIES)/.fetched  ## build the C++ library, s2t-cli and the example -> build/cpp (Debian; needs cmake and g++)
	$(CMAKE) -B $(CPP) -DCMAKE_BUILD_TYPE=Release
	$(MAKE) -C $(CPP) --no-print-directory $(PARALLEL)

cpp-sanitized: $(DEPENDENCIES)/.fetched
	$(CMAKE) -B build/cpp-sanitized -DCMAKE_BUILD_TYPE=Debug -DS2T_SANITIZE=ON -DS2T_TESTS=ON -DS2T_SOXR=ON -DS2T_PROGRAMS=OFF \
	  -DS2T_TEST_BUNDLE=$(CURDIR)/$(CPP_BUNDLE) -DS2T_TEST_VECTORS=$(CURDIR)/$(CPP_VECTORS)
	$(MAKE) -C build/cpp-sanitized --no-print-directory $(PARALLEL)

# The two builds and the vectors go on side by side, and share the jobs.
test-cpp: $(DEPENDENCIES)/.fetched  ## the C++ tests with AddressSanitizer and UBSan, and those of its programs (minutes)
	$(MAKE) --no-print-directory --jobs=$(JOBS) PARALLEL= cpp cpp-sanitized $(CPP_VECTORS)/.written
	ctest --test-dir build/cpp-sanitized --output-on-failure --parallel $(JOBS)
	S2T_CPP_BUILD=$(CURDIR)/$(CPP) S2T_CPP_BUNDLE=$(CURDIR)/$(CPP_BUNDLE) $(PYTEST) tests/cpp tests/exporter/pipeline/test_published_recipes.py

fuzz-cpp: cpp-fuzzers  ## the readers of manifest, vocabulary and WAV against random bytes (clang's libFuzzer, a minute)
	cpp/fuzz/run.sh build/cpp-fuzz/fuzz $(FUZZ_SECONDS)

cpp-fuzzers: $(DEPENDENCIES)/.fetched
	cpp/fetch_dependencies.sh $(DEPENDENCIES) --clang
	$(CMAKE) -B build/cpp-fuzz -DCMAKE_BUILD_TYPE=Debug -DS2T_FUZZ=ON -DS2T_PROGRAMS=OFF \
	  -DCMAKE_CXX_COMPILER=$(CURDIR)/$(DEPENDENCIES)/clang++
	$(MAKE) -C build/cpp-fuzz --no-print-directory $(PARALLEL)

$(DEPENDENCIES)/.fetched: $(STAMP) cpp/fetch_dependencies.sh
	cpp/fetch_dependencies.sh $(DEPENDENCIES) \
	  $$($(BIN)/python -c 'import importlib.util; print(importlib.util.find_spec("onnxruntime").submodule_search_locations[0])')/capi
	touch $@

$(CPP_BUNDLE)/manifest.json: $(STAMP) $(shell find graphs exporter examples/digits/checkpoint -name __pycache__ -prune -o -type f -print)
	$(BIN)/export-s2t examples/digits/checkpoint -o $(CPP_BUNDLE) --precision fp32,fp16,int8 --force --no-check

$(CPP_VECTORS)/.written: $(CPP_BUNDLE)/manifest.json $(shell find tests/support s2t_runtime -name "*.py")
	rm -rf $(CPP_VECTORS)
	PYTHONPATH=.:tests:examples/digits $(BIN)/python -m support.cpp.golden_vectors $(CPP_BUNDLE) $(CPP_VECTORS)
	touch $@

check: lint types test  ## everything that a change must pass: format, lint, types, import contracts, tests

lint: $(STAMP)  ## format (looked at only), lint, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(STAMP)  ## mypy
	$(BIN)/mypy
	$(BIN)/mypy optimum/commands/register/register_s2t.py

format: $(STAMP)  ## rewrite the files as ruff wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only .

tree: $(STAMP)  ## write the tree of the source into docs/architecture.md
	PYTHONPATH=.:tests $(BIN)/python -m support.tree_page

clean:  ## remove what builds, tests and the demo leave; the environment stays
	rm -rf build dist demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
