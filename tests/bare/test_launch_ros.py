"""Nodes in launch files: how they are found, and the command line they get."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import GroupAction, SetLaunchConfiguration
from launch.logging import launch_config
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, SubstitutionFailure, TextSubstitution
from launch.utilities import perform_substitutions
from launch_ros.actions import LifecycleNode, Node, PushROSNamespace, SetParameter
from launch_ros.parameter_descriptions import Parameter, ParameterFile, ParameterValue
from launch_ros.substitutions import ExecutableInPackage, FindPackagePrefix, FindPackageShare
from launch_ros.utilities import make_namespace_absolute, prefix_namespace
from support.bare_ros2 import make_package

# Writes its arguments and the parameter files among them, in order, to a file.
SPY = """#!/usr/bin/env -S python3 -S
import json, os, sys
files = [open(path).read() for flag, path in zip(sys.argv, sys.argv[1:]) if flag == "--params-file"]
open(os.environ["SPY_OUTPUT"], "a").write(json.dumps([sys.argv[1:], files]) + "\\n")
"""


@pytest.fixture
def spied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    launch_config.log_dir = str(tmp_path)
    make_package(tmp_path / "prefix", "spies", {}, {"spy": SPY})
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "prefix"))
    monkeypatch.setenv("SPY_OUTPUT", str(tmp_path / "spied"))
    return tmp_path / "spied"


def run(*entities: Any) -> int:
    service = LaunchService()
    service.include_launch_description(LaunchDescription(list(entities)))
    return service.run()


def arguments_and_files(spied: Path) -> tuple[list[str], list[Any]]:
    arguments, files = json.loads(spied.read_text())
    return arguments, [yaml.safe_load(text) for text in files]


def test_a_node_gets_name_namespace_parameters_and_remappings(spied: Path, tmp_path: Path) -> None:
    file = tmp_path / "some.yaml"
    file.write_text("/**: {ros__parameters: {a: 1}}\n")
    node = Node(
        package="spies",
        executable="spy",
        name=["no", "de"],
        namespace=LaunchConfiguration("ns"),
        parameters=[str(file), {"b": 2.0}, PathJoinSubstitution([str(tmp_path), "some.yaml"]), Parameter("c", "x")],
        remappings=[("from", [LaunchConfiguration("ns"), "/to"])],
        arguments=["--flag", LaunchConfiguration("ns")],
        ros_arguments=["--log-level", "warn"],
    )
    assert run(SetLaunchConfiguration("ns", "arms"), node) == 0
    arguments, files = arguments_and_files(spied)
    written = arguments[arguments.index("--params-file", arguments.index("--params-file") + 1) + 1]
    assert arguments == [
        *("--flag", "arms", "--ros-args", "--log-level", "warn", "--ros-args"),
        *("-r", "__node:=node", "-r", "__ns:=/arms", "--params-file", str(file), "--params-file", written),
        *("--params-file", str(file), "-p", "c:=x", "-r", "from:=arms/to"),
    ]
    assert files[1] == {"/arms/node": {"ros__parameters": {"b": 2.0}}}
    assert node.node_name == "/arms/node"
    assert not Path(written).exists(), "the temporary file outlived the node"


def test_a_node_without_a_name_gets_parameters_for_any_name(spied: Path) -> None:
    assert run(Node(package="spies", executable="spy", parameters=[{"a": 1}])) == 0
    arguments, files = arguments_and_files(spied)
    assert arguments[:1] == ["--ros-args"]
    assert not any("__node" in argument for argument in arguments)
    assert files == [{"/**": {"ros__parameters": {"a": 1}}}]


def test_scoped_namespaces_and_parameters(spied: Path) -> None:
    def node(name: str) -> Node:
        return Node(package="spies", executable="spy", name=name, namespace="inner")

    assert (
        run(
            GroupAction(
                [PushROSNamespace("outer"), SetParameter("use_sim_time", True), SetParameter("s", "1"), node("a")]
            ),
            node("b"),
        )
        == 0
    )
    inside, outside = sorted(json.loads(line)[0] for line in spied.read_text().splitlines())
    assert inside[1:] == ["-r", "__node:=a", "-r", "__ns:=/outer/inner", "-p", "use_sim_time:=true", "-p", "s:='1'"]
    assert outside[1:] == ["-r", "__node:=b", "-r", "__ns:=/inner"]


def test_a_lifecycle_node_needs_a_name_and_a_namespace(spied: Path) -> None:
    assert run(LifecycleNode(package="spies", executable="spy", name="managed", namespace="")) == 0
    arguments, _ = arguments_and_files(spied)
    assert arguments == ["--ros-args", "-r", "__node:=managed", "-r", "__ns:=/"]
    with pytest.raises(TypeError, match="namespace"):
        LifecycleNode(package="spies", executable="spy", name="managed")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"package": "no_such_package", "executable": "spy"}, "no_such_package"),
        ({"package": "spies", "executable": "spi"}, "executable 'spi' not found on the libexec directory"),
        ({"package": "spies", "executable": "spy", "name": "no-good"}, "name"),
        ({"package": "spies", "executable": "spy", "namespace": "no-good"}, "namespace"),
        ({"package": "spies", "executable": "spy", "parameters": [{"a": []}]}, "parameter 'a' must be"),
        ({"package": "spies", "executable": "spy", "parameters": [{"a": [1, "b"]}]}, "parameter 'a' must be"),
        ({"package": "spies", "executable": "spy", "parameters": [{"a": LaunchConfiguration("m")}]}, "'a'"),
    ],
)
def test_mistakes_in_a_node_stop_the_launch_with_a_message(
    spied: Path, options: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(SetLaunchConfiguration("m", "{x: 1}"), Node(**options)) == 1
    assert message in capsys.readouterr().out
    assert not spied.exists()


def test_parameters_and_remappings_of_a_wrong_kind_are_refused() -> None:
    with pytest.raises(TypeError, match="must be a list"):
        Node(package="p", executable="e", parameters={"a": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tuple"):
        Node(package="p", executable="e", remappings=["a:=b"])  # type: ignore[list-item]


def test_a_parameter_file_that_is_missing_is_warned_about(
    spied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Node(package="spies", executable="spy", parameters=[ParameterFile(tmp_path / "none.yaml")])) == 0
    assert "Parameter file path is not a file" in capsys.readouterr().out
    assert "--params-file" not in arguments_and_files(spied)[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", "1"),
        (1, 1),
        (True, True),
        (2.5, 2.5),
        (LaunchConfiguration("one"), 1),
        (LaunchConfiguration("yes"), True),
        (LaunchConfiguration("list"), [1.0, 2.0]),
        (LaunchConfiguration("empty"), ""),
        (["a", LaunchConfiguration("one")], "a1"),
        ([1, 2], [1, 2]),
        ([1, 2.5], [1.0, 2.5]),
        (["a", "b"], ["a", "b"]),
        ([[LaunchConfiguration("one")], [TextSubstitution(text="2")]], [1, 2]),
        (ParameterValue(LaunchConfiguration("one"), value_type=str), "1"),
        (ParameterValue(LaunchConfiguration("one"), value_type=float), 1.0),
        (ParameterValue(LaunchConfiguration("one"), value_type=bool), True),
        (ParameterValue(LaunchConfiguration("list"), value_type=list[float]), [1.0, 2.0]),
    ],
)
def test_values_of_parameters(spied: Path, value: Any, expected: Any) -> None:
    configurations = {"one": "1", "yes": "true", "list": "[1.0, 2.0]", "empty": ""}
    node = Node(package="spies", executable="spy", parameters=[{"p": value}])
    assert run(*(SetLaunchConfiguration(*pair) for pair in configurations.items()), node) == 0
    found = arguments_and_files(spied)[1][0]["/**"]["ros__parameters"]["p"]
    assert found == expected
    assert type(found) is type(expected)


def test_nested_parameters_and_names_with_substitutions(spied: Path) -> None:
    parameters = {"a": {"b": {"c": 1}}, ("d", LaunchConfiguration("x")): 2}
    node = Node(package="spies", executable="spy", parameters=[parameters])
    assert run(SetLaunchConfiguration("x", "X"), node) == 0
    assert arguments_and_files(spied)[1] == [{"/**": {"ros__parameters": {"a.b.c": 1, "dX": 2}}}]


@pytest.mark.parametrize(
    ("value", "value_type"), [(LaunchConfiguration("x"), int), (LaunchConfiguration("x"), list[int]), (1, str)]
)
def test_values_that_do_not_fit_their_type(value: Any, value_type: Any) -> None:
    context = LaunchContext()
    context.launch_configurations["x"] = "text"
    with pytest.raises((TypeError, ValueError)):
        ParameterValue(value, value_type=value_type).evaluate(context)


def test_namespaces() -> None:
    assert prefix_namespace(None, None) is None
    assert prefix_namespace("/a", "b") == "/a/b"
    assert prefix_namespace("/", "b") == "/b"
    assert prefix_namespace("/a", "/b/") == "/b"
    assert prefix_namespace("a", None) == "a"
    assert make_namespace_absolute("a") == "/a"


def test_packages_are_found_in_the_ament_index(spied: Path, tmp_path: Path) -> None:
    context = LaunchContext()
    prefix = tmp_path / "prefix"
    assert perform_substitutions(context, [FindPackagePrefix("spies")]) == str(prefix)
    assert perform_substitutions(context, [FindPackageShare("spies")]) == str(prefix / "share" / "spies")
    found = ExecutableInPackage(package="spies", executable="spy").perform(context)
    assert found == str(prefix / "lib" / "spies" / "spy")
    with pytest.raises(SubstitutionFailure, match="which holds: spy"):
        ExecutableInPackage(package="spies", executable="none").perform(context)
