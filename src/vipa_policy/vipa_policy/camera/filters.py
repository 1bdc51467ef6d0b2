"""Filters of depth in librealsense's recommended order: the single place for which there are and how they are set.

Guarded by tests/unit/test_camera_filters.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FARTHEST = 65.535  # m, more cannot be said in 16 bits of mm


@dataclass(frozen=True)
class FilterSettings:
    """Which filters run; all off leaves depth as the sensor gave it.

    Attributes:
        decimation: px, edge of the blocks that become one depth pixel each (median); 1 is off.
        nearest: m, depth below it becomes unknown.
        farthest: m, depth beyond it becomes unknown; 0 is off.
        spatial: smooth within a picture, keeping edges.
        temporal: smooth over pictures: quieter where all stands still, smeared where something moves.
        hole_filling: give unknown pixels the depth of a neighbour. Invents what was not measured.
    """

    decimation: int = 1
    nearest: float = 0.0
    farthest: float = 0.0
    spatial: bool = False
    temporal: bool = False
    hole_filling: bool = False


class DepthFilters:
    """A chain of librealsense's filters. Holds what the temporal one remembers: make a new one for a new stream.

    Args:
        rs: the module pyrealsense2.
        settings: which filters run.
    """

    def __init__(self, rs: Any, settings: FilterSettings) -> None:
        self._chain: list[Any] = []
        if settings.decimation > 1:
            self._chain.append(rs.decimation_filter(float(settings.decimation)))
        if settings.nearest > 0.0 or settings.farthest > 0.0:
            self._chain.append(rs.threshold_filter(settings.nearest, settings.farthest or FARTHEST))
        smoothing = [rs.spatial_filter()] * settings.spatial + [rs.temporal_filter()] * settings.temporal
        if smoothing:
            # In disparity a stereo camera's noise is alike near and far.
            self._chain += [rs.disparity_transform(True), *smoothing, rs.disparity_transform(False)]
        if settings.hole_filling:
            self._chain.append(rs.hole_filling_filter())

    def __call__(self, frames: Any) -> Any:
        """Return a set of frames with its depth filtered; colour is passed on."""
        for step in self._chain:
            frames = step.process(frames).as_frameset()
        return frames
