# make demo, make test, make lint: each sets the machine up first. See README.md.
# Variables: PYTHON (to build on), VENV (default .venv), ROS_WHEELS (jazzy or kilted, where no ROS 2 is sourced).
SHELL := /bin/bash
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint eval-cell clean distclean

VENV ?= .venv
TASK ?= reach
N ?= 100
SEED ?= 0
CAMERA ?=
PYTEST_ARGUMENTS ?=
# Recipes read these from the environment, so that no value is ever parsed by the shell.
export PYTHON VENV ROS_WHEELS TASK N SEED CAMERA

IN_WORKSPACE := tools/in_workspace
# The first interpreter that can run the set-up; which one it builds on, it decides itself.
SETUP_PYTHON := $(or $(PYTHON),$(firstword $(foreach name,python3 python3.12 python3.11 /usr/bin/python3,$(if \
  $(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo yes),$(name)))),python3)

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1|/' | column -t -s '|'

setup:  ## install what is missing and build ros2_ws (minutes the first time, then seconds)
	@command -v $(firstword $(SETUP_PYTHON)) >/dev/null || { echo "Python 3.11 or 3.12 is needed: \
	sudo apt-get install -y python3 python3-venv python3-dev" >&2; exit 1; }
	@$(SETUP_PYTHON) tools/setup_workspace.py

demo: setup  ## the simulated arm does what three instructions say; writes out/demo.mp4
	@$(IN_WORKSPACE) ros2 run vipa_sim demo

test: setup  ## the whole test suite
	@$(IN_WORKSPACE) python -m pytest $(PYTEST_ARGUMENTS)

lint: setup  ## formatting, rules and types
	@$(IN_WORKSPACE) tools/lint

eval-cell: setup  ## success rate in the simulated cell: TASK=reach N=100 SEED=0 CAMERA="x y z roll pitch yaw"
	@$(IN_WORKSPACE) ros2 run vipa_sim eval_cell --task "$$TASK" --n "$$N" --seed "$$SEED" \
	  $${CAMERA:+"--camera=$$CAMERA"}

clean:  ## remove what colcon built and the caches
	@rm -rf ros2_ws/build ros2_ws/install ros2_ws/log .mypy_cache .ruff_cache .pytest_cache .hypothesis

distclean: clean  ## also remove the virtual environment
	@rm -rf .venv
