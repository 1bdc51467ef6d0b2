"""The `ros2` command: finds the sub-command, runs it, turns its errors into messages and exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence

COMMANDS = {
    "action": "Various action related sub-commands",
    "interface": "Show information about ROS interfaces",
    "launch": "Run a launch file",
    "lifecycle": "Various lifecycle related sub-commands",
    "node": "Various node related sub-commands",
    "param": "Various param related sub-commands",
    "pkg": "Various package related sub-commands",
    "run": "Run a package specific executable",
    "service": "Various service related sub-commands",
    "topic": "Various topic related sub-commands",
}


def make_parser(command: str | None) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of one command only: the others need not be imported."""
    parser = argparse.ArgumentParser(
        prog="ros2",
        description="ros2 is an extensible command-line tool for ROS 2 (subset for machines without ROS 2).",
    )
    parser.set_defaults(main=None)
    commands = parser.add_subparsers(
        title="Commands", metavar="Call `ros2 <command> -h` for more detailed usage.", dest="command"
    )
    for name, description in COMMANDS.items():
        command_parser = commands.add_parser(name, help=description, description=description)
        if name == command:
            importlib.import_module(f"ros2cli.commands.{name}").add_arguments(command_parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int | str:
    """Run the command line; return 0, another exit code, or the message of an error (exit code 1)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = next((one for one in arguments if not one.startswith("-")), None)
    parser = make_parser(command)
    args = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    if args.main is None:
        (parser if args.command is None else args.parser).print_help()
        return 0
    try:
        result = args.main(args)
    except KeyboardInterrupt:
        return int(signal.SIGINT)
    except BrokenPipeError:
        # Whoever read the output has enough of it (`ros2 topic echo ... | head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (RuntimeError, LookupError, ValueError, OSError) as error:
        return str(error)
    return 0 if result is None else result


if __name__ == "__main__":
    sys.exit(main())
