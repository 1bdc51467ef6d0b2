"""Messages from and to YAML."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PoseStamped, PoseWithCovariance
from rosidl_runtime_py import get_interface_path, get_interfaces, message_to_csv, message_to_yaml, set_message_fields
from rosidl_runtime_py.utilities import get_action, get_interface, get_message, get_service
from sensor_msgs.msg import CameraInfo, Image, JointState
from shape_msgs.msg import SolidPrimitive
from std_msgs.msg import Bool, Byte, Float64, Int8, String, UInt8, UInt64
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory


@pytest.mark.parametrize(
    ("message", "values"),
    [
        (PoseStamped(), {"header": {"frame_id": "map", "stamp": {"sec": 1}}, "pose": {"position": {"x": 1, "y": 2.5}}}),
        (JointState(), {"name": ["a", "b"], "position": [1, 2.5]}),
        (JointTrajectory(), {"points": [{"positions": [1.0], "time_from_start": {"sec": 2}}, {"positions": []}]}),
        (PoseWithCovariance(), {"covariance": [float(i) for i in range(36)]}),
        (CameraInfo(), {"k": [1.0] * 9, "distortion_model": "plumb_bob", "roi": {"do_rectify": True}}),
        (Image(), {"data": [1, 2, 255], "height": 1}),
        (DiagnosticStatus(), {"level": 2, "values": [{"key": "a", "value": "1"}]}),
        (String(), {"data": "ünï: 'quoted'"}),
    ],
)
def test_what_is_set_comes_back_as_yaml(message: Any, values: dict[str, Any]) -> None:
    set_message_fields(message, yaml.safe_load(yaml.safe_dump(values)))
    read = yaml.safe_load(message_to_yaml(message))
    if isinstance(message, DiagnosticStatus):
        read["level"] = ord(read["level"])  # a byte is written as the character that it is

    def check(expected: Any, got: Any) -> None:
        if isinstance(expected, dict):
            for name, value in expected.items():
                check(value, got[name])
        elif isinstance(expected, list):
            assert len(expected) == len(got)
            for one, other in zip(expected, got, strict=True):
                check(one, other)
        else:
            assert got == expected

    check(values, read)
    again = type(message)()
    set_message_fields(again, yaml.safe_load(message_to_yaml(message)))
    assert again == message


@pytest.mark.parametrize(
    ("message", "values", "error", "text"),
    [
        (String(), {"dat": 1}, AttributeError, "std_msgs/msg/String has no field 'dat'; it has: data"),
        (String(), {"data": [1]}, TypeError, "expects text"),
        (String(), {"data": True}, TypeError, "expects text"),
        (Bool(), {"data": "yes"}, TypeError, "expects true or false"),
        (Float64(), {"data": "x"}, TypeError, "expects a number"),
        (Float64(), {"data": None}, TypeError, "expects a number"),
        (Int8(), {"data": 1.5}, TypeError, "expects a number"),
        (Int8(), {"data": 128}, ValueError, "-128 to 127"),
        (UInt8(), {"data": -1}, ValueError, "0 to 255"),
        (UInt64(), {"data": 2**64}, ValueError, "field 'data'"),
        (Byte(), {"data": 256}, ValueError, "0 to 255"),
        (PoseStamped(), {"pose": 1}, TypeError, "field 'pose'"),
        (PoseStamped(), {"pose": {"position": {"w": 1}}}, AttributeError, "no field 'pose.position.w'"),
        (PoseWithCovariance(), {"covariance": [1.0]}, ValueError, "expects 36 items, got 1"),
        (SolidPrimitive(), {"dimensions": [1, 2, 3, 4]}, ValueError, "at most 3 items"),
        (JointState(), {"position": "1"}, TypeError, "expects a list"),
        (JointState(), {"position": ["x"]}, TypeError, r"field 'position\[0\]'"),
        (String(), "text", TypeError, "expects a dictionary"),
    ],
)
def test_values_that_do_not_fit(message: Any, values: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        set_message_fields(message, values)


def test_numbers_that_do_fit() -> None:
    for message, value, expected in (
        (Float64(), 1, 1.0),
        (Float64(), "1e-3", 1e-3),
        (String(), 5, "5"),
        (Bool(), 1, True),
        (Byte(), 7, b"\x07"),
        (UInt64(), 2**64 - 1, 2**64 - 1),
    ):
        set_message_fields(message, {"data": value})
        assert message.data == expected


def test_headers_and_times_of_now() -> None:
    message = PoseStamped()
    setters = set_message_fields(message, {"header": "auto"}, expand_header_auto=True)
    setters += set_message_fields(message.header, {"stamp": "now"}, expand_time_now=True)
    assert len(setters) == 2
    for seconds, setter in enumerate(setters, 5):
        setter(Time(sec=seconds))
        assert message.header.stamp.sec == seconds
    with pytest.raises(TypeError):
        set_message_fields(message, {"header": "auto"})


def test_long_and_left_out_values() -> None:
    message = JointState(name=["a"] * 5, position=[1.0] * 5)
    assert yaml.safe_load(message_to_yaml(message, truncate_length=2))["position"] == [1.0, 1.0, "..."]
    assert yaml.safe_load(message_to_yaml(message, no_arr=True))["name"] == "<sequence type: string, length: 5>"
    assert yaml.safe_load(message_to_yaml(String(data="abc"), no_str=True))["data"] == "<string length: <3>>"
    assert message_to_yaml(String(data="abc"), flow_style=True) == "{data: abc}\n"
    assert message_to_csv(PoseStamped()) == "0,0,,0.0,0.0,0.0,0.0,0.0,0.0,1.0"


def test_interfaces_by_name() -> None:
    assert get_message("std_msgs/String") is String
    assert get_interface("std_msgs/msg/String") is String
    assert get_service("std_srvs/srv/SetBool") is SetBool
    for find, name, error in (
        (get_message, "std_msgs/msg/Nope", AttributeError),
        (get_message, "nothing_msgs/msg/Nope", ModuleNotFoundError),
        (get_message, "String", ValueError),
        (get_message, "std_srvs/srv/SetBool", ValueError),
        (get_service, "std_msgs/msg/String", ValueError),
        (get_action, "std_msgs/msg/String", ValueError),
    ):
        with pytest.raises(error):
            find(name)
    assert get_interface_path("std_msgs/msg/String").endswith("std_msgs/msg/String.msg")
    assert "msg/String" in get_interfaces(["std_msgs"])["std_msgs"]
    with pytest.raises(LookupError, match="no_such_package"):
        get_interfaces(["no_such_package"])
