"""Launch descriptions: arguments, substitutions, conditions, scopes, includes, events; in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
    Shutdown,
    TimerAction,
    UnsetEnvironmentVariable,
)
from launch.conditions import IfCondition, InvalidConditionExpressionError, UnlessCondition
from launch.event_handlers import OnProcessExit, OnProcessStart, OnShutdown
from launch.events import Shutdown as ShutdownEvent
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import launch_config
from launch.substitutions import (
    AndSubstitution,
    EnvironmentVariable,
    EqualsSubstitution,
    FindExecutable,
    IfElseSubstitution,
    LaunchConfiguration,
    NotEqualsSubstitution,
    NotSubstitution,
    OrSubstitution,
    PathJoinSubstitution,
    PythonExpression,
    SubstitutionFailure,
    TextSubstitution,
    ThisLaunchFileDir,
)
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions


@pytest.fixture(autouse=True)
def log_folder(tmp_path: Path) -> Path:
    launch_config.log_dir = str(tmp_path)
    return tmp_path


def run(entities: Iterable[Any], argv: Iterable[str] = ()) -> int:
    service = LaunchService(argv=argv)
    service.include_launch_description(LaunchDescription(list(entities)))
    return service.run()


def note(notes: list[Any], value: Any = None) -> OpaqueFunction:
    """Return an action that notes a value, or the text of a substitution."""

    def function(context: LaunchContext) -> None:
        notes.append(value if isinstance(value, (str, int)) else perform_substitutions(context, [value]))

    return OpaqueFunction(function=function)


def python(code: str, **options: Any) -> ExecuteProcess:
    return ExecuteProcess(cmd=[sys.executable, "-S", "-c", code], name="python", **options)


def text_of(substitution: Any, **configurations: str) -> str:
    context = LaunchContext()
    context.launch_configurations.update(configurations)
    return perform_substitutions(context, normalize_to_list_of_substitutions(substitution))


def test_arguments_take_the_given_value_or_the_default() -> None:
    notes: list[Any] = []
    description = [
        DeclareLaunchArgument("colour", default_value="red"),
        DeclareLaunchArgument("twice", default_value=[LaunchConfiguration("colour"), LaunchConfiguration("colour")]),
        note(notes, LaunchConfiguration("twice")),
    ]
    assert run(description) == 0
    assert run([SetLaunchConfiguration("colour", "blue"), *description]) == 0
    assert notes == ["redred", "blueblue"]


def test_a_required_argument_that_is_not_given_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([DeclareLaunchArgument("robot", description="its address")]) == 1
    output = capsys.readouterr().out
    assert 'Required launch argument "robot" (description: "its address") was not provided' in output


def test_choices_are_kept_to(capsys: pytest.CaptureFixture[str]) -> None:
    argument = DeclareLaunchArgument("device", default_value="cpu", choices=["cpu", "cuda"], description="Where")
    assert argument.description == "Where. Valid choices are: ['cpu', 'cuda']"
    assert run([argument]) == 0
    assert run([SetLaunchConfiguration("device", "tpu"), argument]) == 1
    assert "provided value \"tpu\" is not valid. Valid options are: ['cpu', 'cuda']" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="not in provided choices"):
        DeclareLaunchArgument("device", default_value="tpu", choices=["cpu"])
    with pytest.raises(RuntimeError, match="empty"):
        DeclareLaunchArgument("device", choices=[])


def test_arguments_are_found_in_groups_and_includes_without_running(tmp_path: Path) -> None:
    inner = tmp_path / "inner.launch.py"
    inner.write_text(
        "from launch import LaunchDescription\nfrom launch.actions import DeclareLaunchArgument\n"
        "def generate_launch_description():\n"
        "    return LaunchDescription([DeclareLaunchArgument('inner', default_value='1')])\n"
    )
    description = LaunchDescription(
        [
            DeclareLaunchArgument("outer"),
            GroupAction([DeclareLaunchArgument("grouped", default_value="2")]),
            GroupAction([DeclareLaunchArgument("perhaps")], condition=IfCondition(LaunchConfiguration("outer"))),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(inner))),
        ]
    )
    found = {one.name: one._conditionally_included for one in description.get_launch_arguments()}
    assert found == {"outer": False, "grouped": False, "perhaps": True, "inner": False}


@pytest.mark.parametrize(
    ("substitution", "expected"),
    [
        (TextSubstitution(text="a"), "a"),
        (["a", LaunchConfiguration("x")], "aX"),
        (LaunchConfiguration("none", default=5), "5"),
        (LaunchConfiguration("none", default=["a", LaunchConfiguration("x")]), "aX"),
        (LaunchConfiguration(["", "x"]), "X"),
        (PathJoinSubstitution(["a", LaunchConfiguration("x"), "b.yaml"]), "a/X/b.yaml"),
        (PythonExpression(["'", LaunchConfiguration("x"), "' == 'X' and sqrt(4) == 2"]), "True"),
        (PythonExpression(["sys.maxsize > 1"], ["sys"]), "True"),
        (EnvironmentVariable("NOT_SET_ANYWHERE", default_value=["a", "b"]), "ab"),
        (EqualsSubstitution(LaunchConfiguration("x"), "X"), "true"),
        (EqualsSubstitution("1.0", 1), "true"),
        (EqualsSubstitution("1", True), "true"),
        (NotEqualsSubstitution(LaunchConfiguration("x"), "X"), "false"),
        (AndSubstitution("true", "0"), "false"),
        (OrSubstitution("true", "0"), "true"),
        (NotSubstitution("False"), "true"),
        (IfElseSubstitution("true", "yes", "no"), "yes"),
        (IfElseSubstitution("false", "yes", LaunchConfiguration("x")), "X"),
    ],
)
def test_substitutions(substitution: Any, expected: str) -> None:
    assert text_of(substitution, x="X") == expected


def test_substitutions_without_a_value_say_what_is_missing() -> None:
    for substitution, message in (
        (LaunchConfiguration("nope"), "'nope' does not exist"),
        (EnvironmentVariable("NOT_SET_ANYWHERE"), "'NOT_SET_ANYWHERE' does not exist"),
        (FindExecutable(name="no-such-program"), "'no-such-program' not found on the PATH"),
        (ThisLaunchFileDir(), "outside of a launch file"),
    ):
        with pytest.raises(SubstitutionFailure, match=message):
            text_of(substitution)
    with pytest.raises(TypeError, match="expected text"):
        PathJoinSubstitution([Path("a")])  # type: ignore[list-item]


def test_executables_are_found_on_the_path() -> None:
    assert Path(text_of(FindExecutable(name="sh"))).name == "sh"


@pytest.mark.parametrize(
    ("value", "holds"), [("true", True), (" TRUE ", True), ("1", True), ("False", False), ("0", False)]
)
def test_conditions(value: str, holds: bool) -> None:
    notes: list[Any] = []
    for condition, word in ((IfCondition, "if"), (UnlessCondition, "unless")):
        action = note(notes, word)
        guarded = GroupAction([action], condition=condition(LaunchConfiguration("value")))
        assert run([SetLaunchConfiguration("value", value), guarded]) == 0
    assert notes == (["if"] if holds else ["unless"])


def test_a_condition_that_is_neither_true_nor_false_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidConditionExpressionError, match="maybe"):
        IfCondition("maybe").evaluate(LaunchContext())
    assert run([GroupAction([], condition=IfCondition("maybe"))]) == 1
    assert "Caught exception in launch" in capsys.readouterr().out


def test_a_group_ends_the_scope_of_configurations_and_environment() -> None:
    notes: list[Any] = []
    both = (
        note(notes, LaunchConfiguration("x", default="-")),
        note(notes, EnvironmentVariable("VIPA_TEST_X", default_value="-")),
    )
    settings = (SetLaunchConfiguration("x", "in"), SetEnvironmentVariable("VIPA_TEST_X", "in"))
    assert run([GroupAction([*settings, *both]), *both]) == 0
    assert notes == ["in", "in", "-", "-"]
    notes.clear()
    unset = UnsetEnvironmentVariable("VIPA_TEST_X")
    assert run([GroupAction([*settings], scoped=False), *both, unset]) == 0
    assert notes == ["in", "in"]
    notes.clear()
    bare = GroupAction([both[0]], forwarding=False, launch_configurations={"x": [LaunchConfiguration("x"), "!"]})
    assert run([SetLaunchConfiguration("x", "a"), bare, both[0]]) == 0
    assert notes == ["a!", "a"]


def test_included_files_get_arguments_and_know_their_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    inner = tmp_path / "inner" / "inner.launch.py"
    inner.write_text(
        "from launch import LaunchDescription\n"
        "from launch.actions import DeclareLaunchArgument, SetLaunchConfiguration\n"
        "from launch.substitutions import LaunchConfiguration, ThisLaunchFileDir\n"
        "def generate_launch_description():\n"
        "    return LaunchDescription([DeclareLaunchArgument('given'),\n"
        "        SetLaunchConfiguration('seen', [LaunchConfiguration('given'), ' in ', ThisLaunchFileDir()])])\n"
    )
    path = PathJoinSubstitution([LaunchConfiguration("folder"), "inner.launch.py"])
    include = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(path), launch_arguments={"given": LaunchConfiguration("value")}.items()
    )
    notes: list[Any] = []
    settings = [SetLaunchConfiguration("folder", str(inner.parent)), SetLaunchConfiguration("value", "v")]
    assert run([*settings, include, note(notes, LaunchConfiguration("seen"))]) == 0
    assert notes == [f"v in {inner.parent}"]


def test_an_include_without_a_required_argument_or_file_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = tmp_path / "inner.launch.py"
    inner.write_text(
        "from launch import LaunchDescription\nfrom launch.actions import DeclareLaunchArgument\n"
        "def generate_launch_description():\n    return LaunchDescription([DeclareLaunchArgument('given')])\n"
    )
    assert run([IncludeLaunchDescription(PythonLaunchDescriptionSource(str(inner)))]) == 1
    assert "missing required argument 'given'" in capsys.readouterr().out
    assert run([IncludeLaunchDescription(PythonLaunchDescriptionSource(str(tmp_path / "none.launch.py")))]) == 1
    inner.write_text("x = 1\n")
    assert run([IncludeLaunchDescription(PythonLaunchDescriptionSource(str(inner)))]) == 1
    assert "does not contain the required function 'generate_launch_description()'" in capsys.readouterr().out


def test_a_function_sees_what_was_given_on_the_command_line_and_may_yield_actions() -> None:
    notes: list[Any] = []

    def look(context: LaunchContext, *args: Any, **kwargs: Any) -> list[Any]:
        notes.extend([context.argv, dict(context.launch_configurations), args, kwargs])
        return [note(notes, "yielded")]

    action = OpaqueFunction(function=look, args=[1], kwargs={"k": 2})
    assert run([SetLaunchConfiguration("a", "b"), action], argv=["a:=b"]) == 0
    assert notes == [["a:=b"], {"a": "b"}, (1,), {"k": 2}, "yielded"]


def test_an_error_in_a_launch_file_stops_what_runs_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(context: LaunchContext) -> None:
        raise ValueError("the camera is upside down")

    codes: list[int | None] = []
    process = python("import time; time.sleep(60)", on_exit=lambda event, context: codes.append(event.returncode))
    started = RegisterEventHandler(OnProcessStart(target_action=process, on_start=[OpaqueFunction(function=fail)]))
    assert run([started, process]) == 1
    assert "the camera is upside down" in capsys.readouterr().out
    assert codes == [-2]


def test_output_is_prefixed_and_partial_lines_come_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('to out'); print('to err', file=sys.stderr); sys.stdout.write('rest')"
    process = python(code, output="screen")
    assert run([process]) == 0
    lines = capsys.readouterr().out.splitlines()
    name = process.name
    assert name.startswith("python-")
    assert f"[{name}] to out" in lines
    assert f"[{name}] to err" in lines
    assert f"[{name}] rest" in lines
    assert any(line.startswith(f"[INFO] [{name}]: process started with pid [") for line in lines)
    assert any(line.startswith(f"[INFO] [{name}]: process has finished cleanly [pid ") for line in lines)
    assert process.return_code == 0


def test_output_goes_where_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('quiet'); print('loud', file=sys.stderr)"
    assert run([python(code)]) == 0
    output = capsys.readouterr().out
    assert "loud" in output
    assert "quiet" not in output
    logs = "".join(path.read_text() for path in tmp_path.glob("launch.log"))
    assert "quiet" in logs
    assert run([python(code, output={"stdout": "screen"})]) == 0
    output = capsys.readouterr().out
    assert "quiet" in output
    assert "loud" not in output
    assert run([python(code, output="nowhere")]) == 1
    assert "got 'nowhere'" in capsys.readouterr().out


def test_a_terminal_is_emulated_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; print('terminal' if sys.stdout.isatty() else 'pipe')"
    assert run([python(code, output="screen"), python(code, output="screen", emulate_tty=True)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("] pipe") for line in lines) == 1
    assert sum(line.endswith("] terminal") for line in lines) == 1


def test_environment_folder_and_prefix_reach_the_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import os; print(os.environ['A'], os.environ['B'], os.getcwd())"
    process = python(
        code,
        additional_env={"B": ["b", LaunchConfiguration("x")]},
        cwd=str(tmp_path),
        output="screen",
        prefix="env C=1",
    )
    settings = [SetEnvironmentVariable("A", "a"), SetLaunchConfiguration("x", "y")]
    assert run([GroupAction([*settings, process])]) == 0
    assert f"] a by {tmp_path}" in capsys.readouterr().out
    assert process.cmd[:2] == ["env", "C=1"]


def test_a_failed_process_is_reported_and_a_program_that_is_missing_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([python("import sys; sys.exit(3)"), ExecuteProcess(cmd=["no-such-program"])]) == 0
    output = capsys.readouterr().out
    assert "exit code 3, cmd '" in output
    assert "cannot start the process" in output
    assert "no-such-program" in output


def test_events_of_processes_reach_their_handlers() -> None:
    notes: list[Any] = []
    first, second = python("pass"), python("import sys; sys.exit(4)")

    def on_any_exit(event: ProcessExited, context: LaunchContext) -> None:
        notes.append(("any", event.returncode))

    handlers = [
        OnProcessStart(target_action=first, on_start=[note(notes, "first started")]),
        OnProcessExit(target_action=first, on_exit=[note(notes, "first exited"), second]),
        OnProcessExit(on_exit=on_any_exit),
        OnShutdown(on_shutdown=lambda event, context: notes.append(event.reason)),
    ]
    assert run([*(RegisterEventHandler(handler) for handler in handlers), first]) == 0
    assert notes[0] == "first started"
    assert set(notes[1:3]) == {"first exited", ("any", 0)}
    assert notes[3:] == [("any", 4), "idle"]


def test_a_required_process_ends_the_launch(capsys: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    other = python("import time; time.sleep(60)", on_exit=lambda event, context: codes.append(event.returncode))
    required = python("pass", on_exit=Shutdown(reason="the camera is gone"))
    handler = RegisterEventHandler(OnProcessStart(target_action=other, on_start=[required]))
    assert run([handler, other]) == 0
    assert f"process[{required.name}] was required: shutting down launched system" in capsys.readouterr().out
    assert codes == [-2]


def test_timers_fire_once_and_end_with_the_launch() -> None:
    notes: list[Any] = []
    late = TimerAction(period=60.0, actions=[note(notes, "late")])
    end = TimerAction(period=0.1, actions=[note(notes, "end"), EmitEvent(event=ShutdownEvent(reason="enough"))])
    assert run([late, end]) == 0
    assert notes == ["end"]


def test_a_process_is_respawned_until_its_tries_are_used_up(tmp_path: Path) -> None:
    counter = tmp_path / "count"
    code = f"open({str(counter)!r}, 'a').write('x'); raise SystemExit(1)"
    assert run([python(code, respawn=True, respawn_delay=0.05, respawn_max_retries=2)]) == 0
    assert counter.read_text() == "xxx"


def test_an_action_cannot_be_executed_twice(capsys: pytest.CaptureFixture[str]) -> None:
    process = python("pass")
    assert run([process, process]) == 1
    assert "executed more than once" in capsys.readouterr().out


def test_a_handler_that_fails_does_not_keep_the_others_from_stopping_processes() -> None:
    codes: list[int] = []

    def fail(event: Any, context: LaunchContext) -> None:
        raise RuntimeError("a careless handler")

    process = python("import time; time.sleep(60)", on_exit=lambda event, context: codes.append(event.returncode))
    handlers = [
        RegisterEventHandler(OnProcessStart(target_action=process, on_start=[Shutdown(reason="test")])),
        process,
        RegisterEventHandler(OnShutdown(on_shutdown=fail)),
    ]
    assert run(handlers) == 1
    assert codes == [-2]
