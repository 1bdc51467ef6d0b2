"""The ros2 command against a busy node on the loopback.

Most verbs run in this process, as the command's own main function: a process each would take most of the suite's time.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ros2cli.cli import main
from support.bare_ros2 import ROS2, bare_environment
from support.processes import ManagedProcess
from support.workspace import REPOSITORY

pytestmark = pytest.mark.graph

Call = Callable[..., tuple[int | str, str]]


@pytest.fixture(scope="module")
def environment(ros_domain_id: int, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return bare_environment(tmp_path_factory.mktemp("log"), ROS_DOMAIN_ID=str(ros_domain_id))


@pytest.fixture(scope="module")
def busy_node(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedProcess]:
    program = REPOSITORY / "tests" / "support" / "busy_node.py"
    node = ManagedProcess([sys.executable, str(program)], tmp_path_factory.mktemp("busy") / "log", environment)
    node.wait_for_output("^up$", 60.0)
    yield node
    node.stop()


@pytest.fixture
def ros2(
    busy_node: ManagedProcess,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Call the command; returns exit code or error message, and what it printed."""
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_LOG_DIR"):
        monkeypatch.setenv(name, environment[name])

    def call(*arguments: str) -> tuple[int | str, str]:
        capsys.readouterr()
        code = main(arguments)
        return code, capsys.readouterr().out

    return call


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., ManagedProcess]]:
    """Start the command as a process of its own; it is stopped after the test."""
    started: list[ManagedProcess] = []

    def start_process(*arguments: str) -> ManagedProcess:
        started.append(ManagedProcess([*ROS2, *arguments], tmp_path / f"{len(started)}.log", environment))
        return started[-1]

    yield start_process
    for process in started:
        process.stop()


def test_node_list_and_info(ros2: Call) -> None:
    code, output = ros2("node", "list")
    assert (code, output.split()) == (0, ["/house/busy", "/managed"])
    code, output = ros2("node", "info", "/house/busy")
    assert code == 0
    sections = yaml.safe_load(output.replace("/house/busy\n", "", 1))
    assert sections["Publishers"]["/chat"] == "std_msgs/msg/String"
    assert sections["Subscribers"]["/heard"] == "std_msgs/msg/String"
    assert sections["Service Servers"]["/switch"] == "std_srvs/srv/SetBool"
    assert sections["Action Servers"] == {"/grip": "vipa_msgs/action/MoveGripper"}


def test_topic_list_info_and_type(ros2: Call) -> None:
    code, output = ros2("topic", "list", "-t")
    assert code == 0
    assert {"/chat [std_msgs/msg/String]", "/pose [geometry_msgs/msg/PoseStamped]"} <= set(output.splitlines())
    code, output = ros2("topic", "info", "/chat", "--verbose")
    assert code == 0
    assert output.startswith("Type: std_msgs/msg/String\n\nPublisher count: 1\n\nNode name: busy\n")
    assert output.endswith("Subscription count: 0\n\n")
    assert ros2("topic", "type", "/pose") == (0, "geometry_msgs/msg/PoseStamped\n")


def test_topic_echo_prints_yaml(ros2: Call) -> None:
    code, output = ros2("topic", "echo", "--once", "/pose")
    assert code == 0
    assert output.endswith("\n---\n")
    message = yaml.safe_load(output.removesuffix("---\n"))
    assert message["header"]["frame_id"] == "map"
    assert message["pose"]["position"] == {"x": 1.5, "y": 0.0, "z": 0.0}
    assert ros2("topic", "echo", "--once", "/chat") == (0, "data: hallo\n---\n")
    assert ros2("topic", "echo", "--once", "/pose", "--field", "pose.position.x") == (0, "1.5\n---\n")


def test_topic_echo_cuts_long_arrays(ros2: Call) -> None:
    for options, length in ((["--truncate-length", "3"], 4), (["--full-length"], 200)):
        _, output = ros2("topic", "echo", "--once", "/numbers", *options)
        assert len(yaml.safe_load(output.removesuffix("---\n"))["data"]) == length
    _, output = ros2("topic", "echo", "--once", "/numbers", "--no-arr")
    assert "data: '<sequence type: double, length: 200>'\n" in output


def test_topic_echo_of_a_field_that_is_not_there(ros2: Call) -> None:
    code, _ = ros2("topic", "echo", "--once", "/chat", "--field", "dat")
    assert code == "Invalid field 'dat': String has no field 'dat'"


def test_topic_echo_waits_for_a_topic_and_pub_repeats(ros2: Call, start: Callable[..., ManagedProcess]) -> None:
    echo = start("topic", "echo", "/later", "--once")
    echo.wait_for_output(r"WARNING: topic \[/later\] does not appear to be published yet", 60.0)
    publisher = start("topic", "pub", "--rate", "5", "/later", "std_msgs/msg/String", "{data: at last}")
    assert echo.wait_for_exit(60.0) == 0
    assert "data: at last\n---\n" in echo.output
    publisher.wait_for_output(r"^publishing #3: std_msgs.msg.String\(data='at last'\)$")
    assert publisher.output.startswith("publisher: beginning loop\npublishing #1: ")
    publisher.send_signal(signal.SIGINT)
    assert publisher.wait_for_exit() == signal.SIGINT


def test_topic_echo_gives_up_after_a_timeout(ros2: Call) -> None:
    code, _ = ros2("topic", "echo", "/never", "--timeout", "0.5")
    assert "Could not determine the type for the passed topic '/never'" in str(code)


def test_topic_pub_once_is_delivered(ros2: Call, busy_node: ManagedProcess) -> None:
    for number in range(2):
        code, output = ros2("topic", "pub", "--once", "/heard", "std_msgs/msg/String", f"{{data: 'once {number}'}}")
        assert code == 0
        assert f"publisher: beginning loop\npublishing #1: std_msgs.msg.String(data='once {number}')\n" in output
        busy_node.wait_for_output(f"^heard once {number}$")
    assert ros2("topic", "pub", "-t", "3", "-r", "50", "-p", "3", "/heard", "std_msgs/String", "data: thrice")[0] == 0
    busy_node.wait_for(lambda: busy_node.output.count("heard thrice") == 3, 30.0, "three messages")


def test_topic_pub_waits_for_a_subscription_as_long_as_it_is_told(ros2: Call) -> None:
    code, output = ros2("topic", "pub", "-1", "/nobody", "std_msgs/msg/String", "{}", "--max-wait-time-secs", "0.5")
    assert "Timed out waiting for subscribers" in str(code)
    assert "Waiting for at least 1 matching subscription(s)..." in output
    assert ros2("topic", "pub", "-1", "-w", "0", "/nobody", "std_msgs/msg/String", "{}")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("std_msgs/msg/Strin", "{}"), "The passed message type is invalid: 'std_msgs/msg/Strin'"),
        (("nothing/msg/String", "{}"), "The passed message type is invalid: 'nothing/msg/String'"),
        (("String", "{}"), "Expected a name like std_msgs/msg/String"),
        (("std_msgs/msg/String", "data: [1"), "is no YAML"),
        (("std_msgs/msg/String", "hallo"), "needs to be a dictionary in YAML format"),
        (("std_msgs/msg/String", "{dat: x}"), "has no field 'dat'; it has: data"),
        (("std_msgs/msg/String", "{data: {a: 1}}"), "field 'data' expects text"),
        (("std_msgs/msg/Int32", "{data: a}"), "field 'data' expects a number"),
        (("std_msgs/msg/UInt8", "{data: 256}"), "field 'data'"),
        (("geometry_msgs/msg/Pose", "{position: {x: north}}"), "field 'position.x' expects a number"),
    ],
)
def test_topic_pub_of_nonsense(ros2: Call, arguments: tuple[str, ...], message: str) -> None:
    code, output = ros2("topic", "pub", "--once", "/heard", *arguments)
    assert message in str(code)
    assert output == ""


def test_topic_hz_prints_rates_until_interrupted(ros2: Call, start: Callable[..., ManagedProcess]) -> None:
    hz = start("topic", "hz", "/chat")
    found = hz.wait_for_output(
        r"^average rate: (\d+\.\d{3})\n\tmin: \d.*s max: \d.*s std dev: \d.*s window: \d+$", 60.0
    )
    assert 1.0 < float(found[1]) < 100.0
    hz.send_signal(signal.SIGINT)
    assert hz.wait_for_exit() == signal.SIGINT
    assert "Traceback" not in hz.output


def test_param_verbs(ros2: Call) -> None:
    code, output = ros2("param", "list", "/house/busy")
    assert code == 0
    assert {"counts", "name.first", "rate", "use_sim_time"} <= set(output.split())
    assert ros2("param", "get", "/house/busy", "rate") == (0, "Double value is: 20.0\n")
    assert ros2("param", "get", "/house/busy", "counts", "--hide-type") == (0, "[1, 2, 3]\n")
    assert ros2("param", "set", "/house/busy", "name.first", "Bea") == (0, "Set parameter successful\n")
    code, output = ros2("param", "dump", "house/busy")
    assert code == 0
    assert yaml.safe_load(output)["/house/busy"]["ros__parameters"]["name"] == {"first": "Bea"}
    code, output = ros2("param", "describe", "/house/busy", "rate")
    assert output == (
        "Parameter name: rate\n  Type: double\n  Description: how often, Hz\n  Constraints:\n"
        "    Min value: 0.5\n    Max value: 100.0\n"
    )


def test_param_verbs_say_what_is_wrong(ros2: Call) -> None:
    assert "has no parameter 'nix'" in str(ros2("param", "get", "/house/busy", "nix")[0])
    assert "out of range" in str(ros2("param", "set", "/house/busy", "rate", "1000.0")[0])
    # Long enough to have met the others on a busy machine.
    code, _ = ros2("param", "get", "/nobody", "rate", "--timeout", "6")
    assert code == "Node not found: '/nobody'. There are: /house/busy, /managed"


def test_service_verbs(ros2: Call) -> None:
    code, output = ros2("service", "list", "-t")
    assert "/switch [std_srvs/srv/SetBool]\n" in output
    assert ros2("service", "type", "/switch") == (0, "std_srvs/srv/SetBool\n")
    code, output = ros2("service", "call", "/switch", "std_srvs/srv/SetBool", "{data: true}")
    assert code == 0
    assert "requester: making request: std_srvs.srv.SetBool_Request(data=True)\n" in output
    assert "response:\nstd_srvs.srv.SetBool_Response(success=True, message='on')\n" in output
    assert "has no field 'dat'" in str(ros2("service", "call", "/switch", "std_srvs/srv/SetBool", "{dat: 1}")[0])
    assert "type is invalid" in str(ros2("service", "call", "/switch", "std_srvs/srv/Nope")[0])
    code, _ = ros2("service", "call", "/nobody", "std_srvs/srv/SetBool", "--timeout", "0.5")
    assert code == "service '/nobody' is not there after 0.5 s"


def test_action_verbs(ros2: Call) -> None:
    assert ros2("action", "list", "-t") == (0, "/grip [vipa_msgs/action/MoveGripper]\n")
    assert ros2("action", "info", "/grip", "-t") == (
        0,
        "Action: /grip\nAction clients: 0\nAction servers: 1\n    /house/busy [vipa_msgs/action/MoveGripper]\n",
    )
    assert ros2("action", "info", "grip", "--count") == (0, "Action: grip\nAction clients: 0\nAction servers: 1\n")
    code, output = ros2("action", "send_goal", "--feedback", "/grip", "vipa_msgs/action/MoveGripper", "{width: 0}")
    assert code == 0
    assert "Sending goal:\n     width: 0.0\n" in output
    assert re.search(r"^Goal accepted with ID: [0-9a-f]{32}$", output, re.MULTILINE)
    assert output.endswith("Goal finished with status: SUCCEEDED\n")
    code, _ = ros2("action", "send_goal", "/grip", "vipa_msgs/action/MoveGripper", "{depth: 0}")
    assert "Failed to populate message fields" in str(code)


def test_lifecycle_verbs(ros2: Call) -> None:
    assert ros2("lifecycle", "nodes") == (0, "/managed\n")
    assert ros2("lifecycle", "get", "/managed") == (0, "unconfigured [1]\n")
    _, output = ros2("lifecycle", "list", "managed")
    assert "- configure [1]\n\tStart: unconfigured\n\tGoal: configuring\n" in output
    assert "- configure [1]" in str(ros2("lifecycle", "set", "/managed", "dance")[0])
    assert ros2("lifecycle", "set", "/managed", "configure") == (0, "Transitioning successful\n")
    assert ros2("lifecycle", "get") == (0, "/managed: inactive [2]\n")
    assert "has no lifecycle" in str(ros2("lifecycle", "get", "/house/busy")[0])


def test_interface_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["interface", "show", "geometry_msgs/msg/PoseStamped", "--no-comments"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "std_msgs/Header header",
        "\tbuiltin_interfaces/Time stamp",
        "\t\tint32 sec",
        "\t\tuint32 nanosec",
        "\tstring frame_id",
        "Pose pose",
        "\tPoint position",
        *("\t\tfloat64 x", "\t\tfloat64 y", "\t\tfloat64 z"),
        "\tQuaternion orientation",
        *("\t\tfloat64 x 0", "\t\tfloat64 y 0", "\t\tfloat64 z 0", "\t\tfloat64 w 1"),
    ]
    assert main(["interface", "show", "std_srvs/srv/SetBool"]) == 0
    assert "---\n" in capsys.readouterr().out
    assert "Could not find the interface" in str(main(["interface", "show", "std_msgs/msg/Nope"]))
    assert "Unknown package" in str(main(["interface", "show", "nothing/msg/Nope"]))


def test_commands_and_verbs_that_are_missing_or_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "lifecycle" in capsys.readouterr().out
    assert main(["topic"]) == 0
    assert "echo" in capsys.readouterr().out
    for arguments in (["tpoic"], ["topic", "ehco"], ["topic", "echo"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "topic_name" in capsys.readouterr().err


def test_output_that_nobody_reads_ends_a_command_quietly(environment: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [*ROS2, "pkg", "list"], env=environment, stdout=writer, stderr=subprocess.PIPE, timeout=60.0, check=False
    )
    os.close(writer)
    assert (process.returncode, process.stderr) == (0, b"")
