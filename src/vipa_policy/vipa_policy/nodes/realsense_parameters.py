"""Parameters of the RealSense node: every name, default, range and meaning in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vipa_policy.camera.connection import ConnectionSettings
from vipa_policy.camera.filters import FilterSettings
from vipa_policy.camera.realsense import RealSenseSettings, StreamProfile
from vipa_policy.errors import CameraError
from vipa_policy.nodes.parameters import FREE, Declaration, real, whole

DECLARATIONS: tuple[Declaration, ...] = (
    ("serial", "", "serial number of the camera; empty takes the only one there is. Quote it in YAML", FREE),
    ("recording", "", "a recording (.db3) to play in place of a camera; empty: a camera", FREE),
    ("loop", True, "begin a recording again at its end", FREE),
    ("topics", "camera/camera", "topic prefix, as realsense-ros makes it of camera_namespace and camera_name", FREE),
    ("frames", "camera", "prefix of the frames: camera_link, camera_color_optical_frame, ...", FREE),
    ("colour_profile", "640x480x30", "width x height x Hz of colour; a recording has its own", FREE),
    ("depth_profile", "848x480x30", "width x height x Hz of depth; a recording has its own", FREE),
    ("slop", 0.017, "s, largest difference of the stamps of colour and depth", real(0.0, 0.2)),
    ("decimation", 1, "px, edge of the blocks that become one depth pixel; 1 is off", whole(1, 8)),
    ("nearest", 0.0, "m, depth below it becomes unknown", real(0.0, 16.0)),
    ("farthest", 0.0, "m, depth beyond it becomes unknown; 0 is off", real(0.0, 16.0)),
    ("spatial", False, "smooth depth within a picture, keeping edges", FREE),
    ("temporal", False, "smooth depth over pictures: smears what moves", FREE),
    ("hole_filling", False, "give unknown pixels a neighbour's depth: invents what was not measured", FREE),
    ("first_frame", 5.0, "s, longest time from opening the camera to its first frame", real(0.5, 60.0)),
    ("silence", 1.0, "s without a good frame after which the camera counts as lost", real(0.1, 60.0)),
    ("retry_first", 0.5, "s until a lost camera is looked for; doubled with every attempt", real(0.05, 60.0)),
    ("retry_longest", 5.0, "s, most that it grows to", real(0.05, 600.0)),
    ("settled", 3.0, "s of streaming after which attempts are counted anew", real(0.1, 600.0)),
    ("reset_after", 3, "attempts in vain after which the hardware is reset; 0 never resets", whole(0, 100)),
    ("initial_reset", False, "reset the hardware before it is opened for the first time", FREE),
)


def camera_from(values: Mapping[str, Any]) -> RealSenseSettings:
    """Return what to open. Raises CameraError on a profile that is none, or limits that leave nothing."""
    if 0.0 < values["farthest"] <= values["nearest"]:
        raise CameraError(
            f"expected farthest beyond nearest, got {values['farthest']} and {values['nearest']} m; 0 switches it off"
        )
    return RealSenseSettings(
        # realsense-ros lets one write "_1234", so that no YAML reader takes it for a number.
        serial=values["serial"].removeprefix("_"),
        recording=values["recording"],
        colour=StreamProfile.parse(values["colour_profile"]),
        depth=StreamProfile.parse(values["depth_profile"]),
        slop=values["slop"],
        filters=FilterSettings(**{name: values[name] for name in FilterSettings.__dataclass_fields__}),
    )


def connection_from(values: Mapping[str, Any]) -> ConnectionSettings:
    """Return when to give the camera up and try again. Raises CameraError on a back-off that would shrink."""
    if values["retry_longest"] < values["retry_first"]:
        raise CameraError(
            f"expected retry_longest of at least retry_first, got {values['retry_longest']} and "
            f"{values['retry_first']} s"
        )
    # A recording has no hardware.
    reset_after = 0 if values["recording"] else values["reset_after"]
    given = {name: values[name] for name in ConnectionSettings.__dataclass_fields__}
    return ConnectionSettings(**given | {"reset_after": reset_after})
