# make demo, make test, make lint: each sets the machine up first. See README.md.
# Variables: PYTHON (to build on), VENV (default .venv), ROS_WHEELS (jazzy or kilted, where no ROS 2 is sourced).
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint fuzz faults soak bench-model bench-gpu bench-runtime eval-cell eval-calibration \
  clean distclean

VENV ?= .venv
TASK ?= reach
CHUNKS ?= 100000
MINUTES ?= 30
SECONDS ?= 60
TEST_PROCESSES ?= 2
N ?= 100
SEED ?= 0
CAMERA ?=
SEAM ?=
CONTROLLER ?=
GRIPPER ?=
FAULT ?=
PYTEST_ARGUMENTS ?=
BENCH_ARGUMENTS ?=
# Recipes read these from the environment, so that no value is ever parsed by the shell.
export PYTHON VENV ROS_WHEELS TEST_PROCESSES TASK N SEED CAMERA SEAM CONTROLLER GRIPPER CHUNKS FAULT MINUTES
# Under a name that means nothing of its own to bash.
export BENCH_SECONDS = $(SECONDS)

IN_WORKSPACE := tools/in_workspace
SETUP := tools/setup

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*##/ { printf "  make %-17s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## install what is missing and build ros2_ws (minutes the first time, then seconds)
	@$(SETUP)

demo: setup  ## the simulated arm does what three instructions say; writes out/demo.mp4
	@$(IN_WORKSPACE) ros2 run vipa_sim demo

test: setup  ## the whole test suite, two files at a time: TEST_PROCESSES=2
	@$(IN_WORKSPACE) python -m pytest --numprocesses "$$TEST_PROCESSES" --dist loadfile $(PYTEST_ARGUMENTS)

lint: setup  ## formatting, rules and types
	@$(IN_WORKSPACE) tools/lint

eval-cell: setup  ## success rate in the simulated cell: TASK=reach N=100 SEED=0 SEAM=rtc|blend|replace|all CONTROLLER= GRIPPER= CAMERA="x y z roll pitch yaw"
	@$(IN_WORKSPACE) ros2 run vipa_sim eval_cell --task "$$TASK" --n "$$N" --seed "$$SEED" \
	  $${CAMERA:+"--camera=$$CAMERA"} $${SEAM:+"--seam=$$SEAM"} \
	  $${CONTROLLER:+"--controller=$$CONTROLLER"} $${GRIPPER:+"--gripper=$$GRIPPER"}

bench-model: setup  ## chunk latency on this processor, beside PI0 of the same size
	@$(IN_WORKSPACE) python -m vipa_policy.bench.model $(BENCH_ARGUMENTS)

bench-gpu:  ## the full-size model on a CUDA device; nothing of ROS is needed, PYTHON or VENV has torch
	@python="$${PYTHON:-$$VENV/bin/python}"; command -v "$$python" > /dev/null || python=python3; \
	  PYTHONPATH=src/vipa_policy "$$python" -m vipa_policy.bench.gpu --save docs/results $(BENCH_ARGUMENTS)

bench-runtime: setup  ## what the nodes add to the model's own time, beside the plain pipeline: SECONDS=60 of each side
	@$(IN_WORKSPACE) ros2 run vipa_sim bench_runtime --seconds "$$BENCH_SECONDS" $(BENCH_ARGUMENTS)

soak: setup  ## the launched graph for MINUTES=30: growth of memory, missed deadlines; writes out/soak/memory.png
	@$(IN_WORKSPACE) ros2 run vipa_sim soak --minutes "$$MINUTES" $(BENCH_ARGUMENTS)

eval-calibration: setup  ## hand-eye calibration against the simulator's truth: 20 placements of each kind of camera
	@$(IN_WORKSPACE) ros2 run vipa_sim eval_calibration

fuzz: setup  ## hostile chunks against the limits of motion: CHUNKS=100000 SEED=0; Ctrl-C, then again, goes on
	@$(IN_WORKSPACE) python -m vipa_policy.bench.fuzz --chunks "$$CHUNKS" --seed "$$SEED"

faults: setup  ## faults injected into the running graph: FAULT=name for one; Ctrl-C, then again, goes on
	@$(IN_WORKSPACE) ros2 run vipa_sim faults $${FAULT:+"--fault=$$FAULT"}

clean:  ## remove what colcon built and the caches
	@rm -rf ros2_ws/build ros2_ws/install ros2_ws/log .mypy_cache .ruff_cache .pytest_cache .hypothesis

distclean: clean  ## also remove the virtual environment
	@rm -rf .venv
