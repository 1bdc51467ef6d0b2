"""The stand-ins hold all that the project uses of the real packages, and nothing that those do not have.

real_api.json records names and parameters of the packages as of ROS 2 Jazzy: "()" is the constructor, "=" a parameter
taken by keyword only. A name that is missing there must be looked up in the real package before it is added.
"""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from support.api_usage import Reference, Use, problem_with, uses_in

ROOT = Path(__file__).resolve().parents[2]
BARE = ROOT / "ros2_ws" / "bare"
PROJECT_FOLDERS = ("src", "launch", "training", "tests/graph", "tests/sim", "tests/unit", "tools")
PACKAGES = (
    "control_msgs",
    "cv_bridge",
    "franka_msgs",
    "launch",
    "launch_ros",
    "launch_testing",
    "launch_xml",
    "message_filters",
    "moveit_msgs",
    "ros2cli",
    "ros2launch",
    "rosbag2_py",
    "rosidl_runtime_py",
    "sensor_msgs_py",
    "tf2_geometry_msgs",
    "tf2_msgs",
    "tf2_py",
    "tf2_ros",
    "tf_transformations",
)
REAL: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "real_api.json").read_text())


def project_files() -> list[Path]:
    return sorted(path for folder in PROJECT_FOLDERS for path in (ROOT / folder).rglob("*.py"))


def problems_in(source: str, packages: tuple[str, ...] = PACKAGES) -> list[str]:
    return sorted({problem for use in uses_in(source, packages) if (problem := problem_with(use))})


@pytest.mark.parametrize("path", [str(path.relative_to(ROOT)) for path in project_files()])
def test_everything_a_file_uses_is_there(path: str) -> None:
    assert problems_in((ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import some_other_package", None),
        ("import tf2_ros.nothing", "tf2_ros.nothing is missing"),
        ("from tf2_ros import Buffer, Nothing", "tf2_ros.Nothing is missing"),
        ("import tf2_ros as t\nt.Nothing", "tf2_ros.Nothing is missing"),
        ("import message_filters\nmessage_filters.Cache.nothing", "message_filters.Cache.nothing is missing"),
        ("from tf2_ros import Buffer as B\nB(cache=3)", "tf2_ros.Buffer takes no argument cache"),
        ("import tf2_ros\ntf2_ros.Buffer(None, None, None)", "tf2_ros.Buffer takes 2 positional arguments, not 3"),
        (
            "import tf2_ros\nclass N:\n  def __init__(self):\n    self._b = tf2_ros.Buffer()\n"
            "  def f(self):\n    self._b.lookup_everything('a')",
            "tf2_ros.Buffer.lookup_everything is missing",
        ),
        (
            "from tf2_ros import Buffer\ndef f(b: Buffer | None):\n  return b.lookup_transform('a', 'b', 0, wait=3)",
            "tf2_ros.Buffer.lookup_transform takes no argument wait",
        ),
        (
            "from tf_transformations import quaternion_from_euler as q\nq(1, 2, 3, order='sxyz')",
            "tf_transformations.quaternion_from_euler takes no argument order",
        ),
        ("import no_such_package.msg", "no_such_package.msg is missing"),
    ],
)
def test_a_use_of_something_missing_is_found(source: str, problem: str | None) -> None:
    found = problems_in(source, (*PACKAGES, "no_such_package"))
    assert found == [] if problem is None else any(line.startswith(problem) for line in found), found


@pytest.mark.parametrize(
    "source",
    [
        "from tf2_ros import *",
        "import tf2_ros\ntf2_ros.Buffer(cache_time=None, node=None).lookup_transform('a', 'b', 0, timeout=1)",
        "from tf2_ros import Buffer\nb = Buffer()\nb.clock.now()",
        "from tf2_ros import TransformListener\nTransformListener(1, 2, spin_thread=True)",
        "from message_filters import Subscriber\nSubscriber(1, 2, 't', qos_profile=3).registerCallback(print)",
        "import message_filters as m\nm.ApproximateTimeSynchronizer([], 1, slop=0.1)",
        "from tf2_ros import TransformException\nraise TransformException('why')",
        "from tf2_ros import Buffer\nb = Buffer()\nb = dict()\nb.items()",
    ],
)
def test_a_use_of_what_is_there_is_no_problem(source: str) -> None:
    assert problems_in(source) == []


def test_constructors_that_pass_keywords_on_take_those_of_their_bases() -> None:
    class Base:
        def __init__(self, *, condition: object = None) -> None:
            self.condition = condition

    class Derived(Base):
        def __init__(self, cmd: str, **kwargs: object) -> None:
            super().__init__(**kwargs)

    module = type(importlib)("passing_on")
    module.Derived = Derived  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(importlib.sys.modules, "passing_on", module)  # type: ignore[attr-defined]
        reference = Reference("passing_on", ("Derived",))
        assert problem_with(Use(1, reference, True, 1, ("condition",))) is None
        assert problem_with(Use(1, reference, True, 1, ("nothing",))) == "passing_on.Derived takes no argument nothing"


def standing_in() -> list[str]:
    """Return the recorded modules that have a stand-in."""
    places = {module: module.replace(".", "/") for module in REAL}
    return [
        module
        for module, place in places.items()
        if any((package / f"{place}.py").is_file() or (package / place).is_dir() for package in BARE.iterdir())
    ]


def public_names(module: Any) -> list[str]:
    names = getattr(module, "__all__", None)
    if names is not None:
        return list(names)
    own = module.__name__.split(".")[0]
    values = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return [name for name, value in values.items() if str(getattr(value, "__module__", "")).split(".")[0] == own]


def parameters_of(function: Any, is_method: bool) -> tuple[list[str], list[str]]:
    """Return the names of positional and of keyword-only parameters."""
    kinds = inspect.Parameter
    parameters = list(inspect.signature(function).parameters.values())[1 if is_method else 0 :]
    positional = [p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    return positional, [p.name for p in parameters if p.kind == kinds.KEYWORD_ONLY]


def invented_parameters(function: Any, recorded: list[str], is_method: bool) -> list[str]:
    """Return the parameters that the real function does not take in this place or by this name."""
    if any(name.startswith("**") for name in recorded):
        return []
    positional, keyword_only = parameters_of(function, is_method)
    real_positional = [name for name in recorded if not name.startswith(("*", "="))]
    real_names = [name.lstrip("*=") for name in recorded]
    takes_any = any(name.startswith("*") for name in recorded)
    misplaced = [] if takes_any else [n for n, real in zip(positional, real_positional, strict=False) if n != real]
    beyond = [] if takes_any else positional[len(real_positional) :]
    return misplaced + beyond + [name for name in keyword_only if name not in real_names]


def inventions(module: str) -> list[str]:
    recorded, found = REAL[module], []
    standin = importlib.import_module(module)
    for name in public_names(standin):
        value = getattr(standin, name)
        if inspect.ismodule(value) and f"{module}.{name}" in REAL:
            continue
        if name not in recorded:
            found.append(f"{module}.{name}")
        elif inspect.isclass(value) and recorded[name]:
            found += [f"{module}.{name}.{problem}" for problem in class_inventions(value, recorded[name])]
        elif inspect.isfunction(value) and recorded[name] is not None:
            found += [f"{module}.{name}({p})" for p in invented_parameters(value, recorded[name], False)]
    return found


def class_inventions(cls: type, recorded: dict[str, Any]) -> list[str]:
    found = []
    if not issubclass(cls, BaseException):
        found += [f"({p})" for p in invented_parameters(cls.__init__, recorded["()"], True)]  # type: ignore[misc]
    for name in dir(cls):
        if name.startswith("_") or hasattr(BaseException, name):
            continue
        if name not in recorded:
            found.append(name)
            continue
        value = inspect.getattr_static(cls, name)
        if inspect.isfunction(value) and recorded[name] is not None:
            found += [f"{name}({p})" for p in invented_parameters(value, recorded[name], True)]
    return found


@pytest.mark.parametrize("module", standing_in())
def test_nothing_is_invented(module: str) -> None:
    assert inventions(module) == []


def test_inventions_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tf2_ros = importlib.import_module("tf2_ros")
    monkeypatch.setitem(REAL["tf2_ros"], "Buffer", {"()": ["node"], "lookup_transform": ["target_frame", "time"]})
    monkeypatch.setattr(tf2_ros, "__all__", ["Buffer", "inventions"], raising=False)
    monkeypatch.setattr(tf2_ros, "inventions", print, raising=False)
    found = inventions("tf2_ros")
    assert "tf2_ros.inventions" in found
    assert "tf2_ros.Buffer.(cache_time)" in found
    assert "tf2_ros.Buffer.lookup_transform(source_frame)" in found
    assert "tf2_ros.Buffer.can_transform" in found
