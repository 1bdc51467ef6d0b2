"""Logging of a launch: to the screen, and to `launch.log` in a directory of its own.

The directory lies in $ROS_LOG_DIR, else in $ROS_HOME/log, else in ~/.ros/log; `latest` beside it
points at the newest. A launch that cannot write there says so once and goes on without a file.
"""

from __future__ import annotations

import datetime
import logging
import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

__all__ = ["get_logger", "get_output_loggers", "launch_config", "log_launch_config"]

_ENTRY_FORMAT = "[{levelname}] [{name}]: {message}"
_DESTINATIONS = {
    "screen": {"stdout": {"screen"}, "stderr": {"screen"}},
    "log": {"stdout": {"log"}, "stderr": {"log", "screen"}},
    "both": {"stdout": {"log", "screen"}, "stderr": {"log", "screen"}},
    "own_log": {"stdout": {"own_log"}, "stderr": {"own_log"}},
    "full": {"stdout": {"log", "own_log", "screen"}, "stderr": {"log", "own_log", "screen"}},
}


class _ScreenHandler(logging.Handler):
    """Writes to whatever sys.stdout is now; characters it cannot show become question marks."""

    def __init__(self, layout: str) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(layout, style="{"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as one line."""
        screen = sys.stdout
        encoding = getattr(screen, "encoding", None) or "utf-8"
        line = self.format(record).encode(encoding, errors="replace").decode(encoding)
        try:
            screen.write(f"{line}\n")
            screen.flush()
        except BrokenPipeError:
            # Whoever read the output is gone; the processes must be looked after all the same.
            os.dup2(os.open(os.devnull, os.O_WRONLY), screen.fileno())


class LaunchConfig:
    """Level, screen and files of the logging; one for the process."""

    def __init__(self) -> None:
        self._level = logging.INFO
        self._log_dir: Path | None = None
        self._file_problem: str | None = None
        self._loggers: dict[str, logging.Logger] = {}
        self._files: dict[tuple[str, str], logging.Handler] = {}
        self._screen_entries = _ScreenHandler(_ENTRY_FORMAT)
        self._screen_output = _ScreenHandler("{message}")

    @property
    def level(self) -> int:
        """The level of every logger from `get_logger`."""
        return self._level

    @level.setter
    def level(self, level: int) -> None:
        self._level = level
        for logger in self._loggers.values():
            logger.setLevel(level)

    @property
    def log_dir(self) -> str | None:
        """The directory of this launch's log files, made when first asked for; None where that fails."""
        if self._log_dir is None and self._file_problem is None:
            try:
                self._log_dir = _make_log_directory()
            except OSError as error:
                self._file_problem = str(error)
        return None if self._log_dir is None else str(self._log_dir)

    @log_dir.setter
    def log_dir(self, directory: str | None) -> None:
        if directory is not None and not Path(directory).is_dir():
            raise ValueError(f"{directory} is not a directory")
        for logger in self._loggers.values():
            for handler in self._files.values():
                logger.removeHandler(handler)
        for handler in self._files.values():
            handler.close()
        self._files.clear()
        self._log_dir = None if directory is None else Path(directory)
        self._file_problem = None

    @property
    def file_problem(self) -> str | None:
        """Why there are no log files, None if there are."""
        return self._file_problem

    def entry_logger(self, name: str) -> logging.Logger:
        """Return the logger that writes `[LEVEL] [name]: text` to screen and launch.log."""
        if name not in self._loggers:
            logger = logging.getLogger(name)
            logger.setLevel(self._level)
            logger.addHandler(self._screen_entries)
            logger.propagate = False  # `launch.user` must not be written by `launch` again
            self._loggers[name] = logger
        logger = self._loggers[name]
        if self._log_dir is not None:
            handler = self._file("launch.log", "{created:.7f} " + _ENTRY_FORMAT)
            if handler not in logger.handlers:
                logger.addHandler(handler)
        return logger

    def output_logger(self, name: str, destinations: Iterable[str], own_log: str) -> logging.Logger:
        """Return the logger that writes the bare lines of a process's stream to the destinations."""
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        logger.propagate = False
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        logger.addHandler(logging.NullHandler())
        wanted = set(destinations)
        if "screen" in wanted:
            logger.addHandler(self._screen_output)
        if self.log_dir is not None:
            if "log" in wanted:
                logger.addHandler(self._file("launch.log", "{created:.7f} {message}"))
            if "own_log" in wanted:
                logger.addHandler(self._file(own_log, "{message}"))
        return logger

    def _file(self, file_name: str, layout: str) -> logging.Handler:
        if (file_name, layout) not in self._files:
            handler = logging.FileHandler(Path(str(self.log_dir)) / file_name, encoding="utf-8", errors="replace")
            handler.setFormatter(logging.Formatter(layout, style="{"))
            self._files[file_name, layout] = handler
        return self._files[file_name, layout]


def _make_log_directory() -> Path:
    base = os.environ.get("ROS_LOG_DIR")
    if not base:
        base = os.path.join(os.environ.get("ROS_HOME") or os.path.join("~", ".ros"), "log")
    parent = Path(base).expanduser()
    stamp = datetime.datetime.now().strftime("%Y-%m-%d-%H-%M-%S-%f")
    directory = parent / f"{stamp}-{socket.gethostname()}-{os.getpid()}"
    directory.mkdir(parents=True, exist_ok=True)
    latest = parent / "latest"
    if latest.is_symlink() or not latest.exists():
        # Renamed over the old one, so that launches started together do not trip over each other.
        fresh = parent / f".latest-{os.getpid()}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(directory, target_is_directory=True)
        fresh.replace(latest)
    return directory


launch_config = LaunchConfig()


def log_launch_config(*, logger: logging.Logger | None = None) -> None:
    """Log where the log files are and how much is logged."""
    directory = launch_config.log_dir
    logger = logger if logger is not None else get_logger("launch")
    get_logger(logger.name)
    if directory is not None:
        logger.info(f"All log files can be found below {directory}")
    else:
        logger.warning(
            f"No log files: {launch_config.file_problem}. Set ROS_LOG_DIR to a directory that can be written"
        )
    logger.info(f"Default logging verbosity is set to {logging.getLevelName(launch_config.level)}")


def get_logger(name: str | None = None) -> logging.Logger:
    """Return a logger that writes to the screen and, once a launch runs, to its launch.log."""
    return launch_config.entry_logger(name or "launch")


def get_output_loggers(process_name: str, output_config: Any) -> tuple[logging.Logger, logging.Logger]:
    """Return the loggers of a process's standard output and standard error.

    Args:
        process_name: e.g. `talker-1`.
        output_config: `screen`, `log` (output to the log, errors to both), `both`, `own_log`, `full`,
            or a dict from `stdout`, `stderr`, `both` to one or several of `screen`, `log`, `own_log`.

    Raises:
        ValueError: for anything else.
    """
    destinations = _destinations(output_config)
    names = {stream: f"{process_name}-{stream}" for stream in ("stdout", "stderr")}
    stdout, stderr = (
        launch_config.output_logger(names[stream], destinations[stream], f"{names[stream]}.log")
        for stream in ("stdout", "stderr")
    )
    return stdout, stderr


def _destinations(output_config: Any) -> dict[str, set[str]]:
    if isinstance(output_config, str):
        if output_config not in _DESTINATIONS:
            raise ValueError(f"output must be one of {', '.join(_DESTINATIONS)} or a dict, got '{output_config}'")
        return _DESTINATIONS[output_config]
    if not isinstance(output_config, dict):
        raise ValueError(f"output must be text or a dict, got {output_config!r}")
    found: dict[str, set[str]] = {"stdout": set(), "stderr": set()}
    for source, wanted in output_config.items():
        if source not in ("stdout", "stderr", "both"):
            raise ValueError(f"output has the sources stdout, stderr and both, got '{source}'")
        targets = {wanted} if isinstance(wanted, str) else set(wanted)
        unknown = targets - {"screen", "log", "own_log"}
        if unknown:
            raise ValueError(f"output goes to screen, log or own_log, got {sorted(unknown)}")
        for stream in ("stdout", "stderr") if source == "both" else (source,):
            found[stream] |= targets
    return found
