"""Set up this machine for VIPA: `make setup`, or `python3 tools/setup_workspace.py` (3.11 or newer).

Idempotent: what has not changed since the last run is left alone. `--plan` prints what would be done, as JSON, and
touches nothing.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from vipa_setup import machine, virtual_environment, workspace
from vipa_setup.plan import choose_interpreter, make_plan, probed_modules, sourced_distribution
from vipa_setup.report import SetupError, say

REPOSITORY = Path(__file__).resolve().parents[1]


def parse_arguments() -> argparse.Namespace:
    """Options; each can also be given as a variable, as make does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true", help="print the plan as JSON and do nothing")
    parser.add_argument("--python", default=os.environ.get("PYTHON"), help="Python to build on ($PYTHON)")
    parser.add_argument(
        "--venv", default=os.environ.get("VENV") or ".venv", help="virtual environment ($VENV, default .venv)"
    )
    parser.add_argument(
        "--wheels",
        default=os.environ.get("ROS_WHEELS"),
        help="jazzy or kilted: which ROS 2 to take from wheels where none is sourced ($ROS_WHEELS, default what the "
        "last set-up took, jazzy at first)",
    )
    parser.add_argument(
        "--without-torch",
        action="store_true",
        default=os.environ.get("VIPA_WITHOUT_TORCH") == "1",
        help="leave torch to you ($VIPA_WITHOUT_TORCH=1)",
    )
    return parser.parse_args()


def main() -> int:
    """Gather facts, decide, do; returns the exit status."""
    options = parse_arguments()
    started = time.monotonic()
    folder = (REPOSITORY / options.venv).absolute()
    environment = machine.foreign_environment(os.environ, [REPOSITORY / "ros2_ws", folder])
    modules = probed_modules(REPOSITORY)
    try:
        interpreter, stock = choose_interpreter(
            lambda command: machine.probe_interpreter(command, environment, modules),
            options.python,
            sourced_distribution(environment),
        )
        last = virtual_environment.read_marker(folder).get("ros", "jazzy")
        wheels = options.wheels or ("jazzy" if last == "stock" else last)
        plan = make_plan(REPOSITORY, interpreter, stock, wheels)
        missing = machine.missing_debian_packages(interpreter)
        if options.plan:
            facts = {**plan.as_dictionary(), "virtual_environment": str(folder), "missing_debian_packages": missing}
            print(json.dumps(facts, indent=2))
            return 0
        machine.install_debian_packages(missing)
        log = REPOSITORY / "ros2_ws" / "log" / "setup.log"
        virtual_environment.create(plan, folder, environment, log)
        installed = virtual_environment.fill(plan, folder, REPOSITORY, environment, log, options.without_torch)
        built = workspace.build(plan, REPOSITORY, folder, environment, log)
    except SetupError as error:
        say(str(error))
        return 1
    state = "done" if installed or built else "up to date"
    say(f"{state} in {time.monotonic() - started:.1f} s (ROS 2 {plan.ros}, Python {interpreter.label})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
