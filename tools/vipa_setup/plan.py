"""What the set-up will do on this machine: pure decisions, from facts that others gather."""

import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vipa_setup.machine import Interpreter
from vipa_setup.report import SetupError

WHEEL_PYTHONS = ((3, 11), (3, 12))
WHEEL_DISTRIBUTIONS = ("jazzy", "kilted")
TOO_OLD_DISTRIBUTIONS = ("ardent", "bouncy", "crystal", "dashing", "eloquent", "foxy", "galactic", "humble", "iron")
# Bare `python3` first: it is what the user chose, on pyenv and conda machines too.
CANDIDATES = ("python3", "python3.11", "python3.12", "/usr/bin/python3", "/usr/bin/python3.11", "/usr/bin/python3.12")

PRODUCT_FOLDER = "src"
ENVIRONMENT_PACKAGE = "ros2_ws/vipa_environment"
STAND_IN_FOLDER = "ros2_ws/bare"


@dataclass(frozen=True)
class Package:
    """A colcon package: its name and its folder relative to the repository."""

    name: str
    folder: str


@dataclass(frozen=True)
class Plan:
    """Everything the set-up decides before it touches anything."""

    python: str
    python_version: tuple[int, int]
    ros: str  # "stock", or the distribution of the wheels
    requirements: tuple[str, ...]  # files, in the order of installation
    wheels: tuple[str, ...]  # ROS 2 packages taken from wheels
    stand_ins: tuple[str, ...]  # packages of ros2_ws/bare that are built
    real: tuple[str, ...]  # packages of ros2_ws/bare left out, because the real one is importable
    packages: tuple[Package, ...]  # everything colcon builds

    @property
    def from_wheels(self) -> bool:
        """Whether ROS 2 comes from wheels."""
        return self.ros != "stock"

    def as_dictionary(self) -> dict[str, Any]:
        """Plain data, for --plan."""
        return asdict(self)


def read_packages(repository: Path, folder: str) -> tuple[Package, ...]:
    """Packages (folders with a package.xml) directly under ``folder``, by name."""
    packages = []
    for manifest in sorted((repository / folder).glob("*/package.xml")):
        name = ElementTree.parse(manifest).getroot().findtext("name")
        if not name:
            raise SetupError(f"{manifest} names no package: give it a <name>")
        packages.append(Package(name.strip(), str(manifest.parent.relative_to(repository))))
    return tuple(packages)


def read_wheel_names(file: Path) -> tuple[str, ...]:
    """Names of the ROS 2 wheels in a requirements file."""
    lines = (line.split("#")[0].strip() for line in file.read_text().splitlines())
    names = (re.split(r"[<>=!~ \[;]", line)[0] for line in lines if line)
    return tuple(name for name in names if name.startswith("ros-"))


def choose_interpreter(
    probe: Callable[[str], Interpreter | None],
    requested: str | None,
    distribution: str | None,
) -> tuple[Interpreter, bool]:
    """Choose the Python to build on; returns it and whether a stock ROS 2 is importable from it.

    Args:
        probe: asks a command what it is; its ``importable`` must tell whether ``rclpy`` is there.
        requested: what the user named with PYTHON=..., or None.
        distribution: ROS_DISTRO as sourced, or None.

    Raises SetupError when no interpreter fits, or when the sourced ROS 2 cannot be used.
    """
    if distribution in TOO_OLD_DISTRIBUTIONS:
        raise SetupError(
            f"ROS 2 {distribution} is sourced; Jazzy or newer is needed. Source one, or start a shell without ROS 2 "
            "and the set-up takes Jazzy from wheels"
        )
    commands = (requested,) if requested else CANDIDATES
    interpreters = [interpreter for command in commands if (interpreter := probe(command)) is not None]
    for interpreter in interpreters:
        if "rclpy" in interpreter.importable and interpreter.version >= WHEEL_PYTHONS[0]:
            return interpreter, True
    if distribution:
        seen = ", ".join(f"{found.executable} ({found.label})" for found in interpreters) or "none"
        raise SetupError(
            f"ROS 2 {distribution} is sourced (ROS_DISTRO), but no Python from 3.11 on imports its rclpy; looked at: "
            f"{seen}. Name ROS 2's own Python with PYTHON=..., or start a shell without ROS 2 to use wheels"
        )
    fitting = [interpreter for interpreter in interpreters if interpreter.version in WHEEL_PYTHONS]
    if not fitting:
        seen = ", ".join(f"{found.executable} ({found.label})" for found in interpreters) or "none"
        raise SetupError(
            f"Python 3.11 or 3.12 is needed; found: {seen}. Name one with PYTHON=/path/to/python3.11, or install "
            "Debian's python3 python3-venv python3-dev"
        )
    return next((interpreter for interpreter in fitting if interpreter.complete), fitting[0]), False


def make_plan(
    repository: Path,
    interpreter: Interpreter,
    stock: bool,
    wheels: str,
    machine: str | None = None,
) -> Plan:
    """Decide what is installed and built.

    Args:
        repository: root, with requirements/ and ros2_ws/.
        interpreter: to build on; its ``importable`` must cover the names of the stand-ins.
        stock: whether a stock ROS 2 is importable from it.
        wheels: distribution of the wheels where it is not: "jazzy" or "kilted".
        machine: processor, of this machine by default.
    """
    bare = read_packages(repository, STAND_IN_FOLDER)
    real = tuple(package for package in bare if package.name in interpreter.importable)
    stand_ins = tuple(package for package in bare if package not in real)
    requirements = ["requirements/torch.txt", "requirements/build.txt"]
    names: tuple[str, ...] = ()
    if not stock:
        if wheels not in WHEEL_DISTRIBUTIONS:
            raise SetupError(f"ROS_WHEELS is {wheels!r}; it can be {' or '.join(WHEEL_DISTRIBUTIONS)}")
        machine = machine or platform.machine()
        if machine not in ("x86_64", "AMD64"):
            raise SetupError(
                f"ROS 2 wheels exist for x86-64 only, and this machine is {machine}: install ROS 2 Jazzy or newer and "
                "source it"
            )
        file = f"requirements/ros-{wheels}.txt"
        requirements.append(file)
        names = read_wheel_names(repository / file)
    requirements += ["requirements/project.txt", "requirements/development.txt"]
    folder, _, environment_name = ENVIRONMENT_PACKAGE.rpartition("/")
    return Plan(
        python=interpreter.executable,
        python_version=interpreter.version,
        ros="stock" if stock else wheels,
        requirements=tuple(requirements),
        wheels=names,
        stand_ins=tuple(package.name for package in stand_ins),
        real=tuple(package.name for package in real),
        packages=(
            *(package for package in read_packages(repository, folder) if package.name == environment_name),
            *stand_ins,
            *read_packages(repository, PRODUCT_FOLDER),
        ),
    )


def probed_modules(repository: Path) -> Sequence[str]:
    """Modules whose importability the plan needs: rclpy and every stand-in, which carries its module's name."""
    return ("rclpy", *(package.name for package in read_packages(repository, STAND_IN_FOLDER)))


def sourced_distribution(environment: Mapping[str, str]) -> str | None:
    """ROS_DISTRO of the shell, None where no ROS 2 was sourced."""
    return environment.get("ROS_DISTRO") or None
