"""What lies on the table: names, sizes, and random layouts by seed. The single place for the held-out split.

Nothing here knows the physics engine. A layout is a pure function of (seed, held_out), the same on every machine.
Guarded by tests/sim/test_scene.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from vipa_policy.geometry import Array

COLOURS: Final[dict[str, tuple[float, float, float]]] = {
    "red": (0.80, 0.08, 0.07),
    "green": (0.10, 0.55, 0.16),
    "blue": (0.08, 0.20, 0.75),
    "yellow": (0.92, 0.76, 0.08),
    "purple": (0.45, 0.13, 0.60),
}
BOWLS: Final[dict[str, tuple[float, float, float]]] = {"white": (0.90, 0.90, 0.88), "black": (0.09, 0.09, 0.10)}

WORKSPACE_X: Final = (0.35, 0.75)
"""m in ``world``: where blocks and bowls may lie."""
WORKSPACE_Y: Final = (-0.20, 0.20)
SQUARES: Final = 4
"""The workspace is a grid of SQUARES x SQUARES; rows count along x, columns along y."""
BLOCK_EDGE: Final = 0.04
BLOCK_YAW: Final = math.radians(30.0)
BOWL_DIAMETER: Final = 0.11
BOWL_HEIGHT: Final = 0.045
BOWL_FLOOR: Final = 0.006
"""m, thickness of a bowl's bottom."""
RELEASE_HEIGHT: Final = 0.075
"""m above the table, of the tool centre when it lets go of a block over a bowl: the block clears the rim."""

# An open hand spans 6 cm to either side of a block it surrounds; at this distance it meets no neighbour.
BLOCK_SPACING: Final = 0.09
BOWL_CLEARANCE: Final = 0.125
BOWL_SPACING: Final = 0.14
TABLE_TONES: Final = (
    (0.80, 0.70, 0.57),
    (0.72, 0.62, 0.50),
    (0.70, 0.69, 0.66),
    (0.62, 0.66, 0.68),
    (0.78, 0.74, 0.68),
)


@dataclass(frozen=True)
class BlockPlacement:
    """A block on the table: centre (x, y) in m and yaw in rad, in ``world``."""

    colour: str
    x: float
    y: float
    yaw: float

    @property
    def name(self) -> str:
        """Name of the object, for example "red_block"."""
        return f"{self.colour}_block"


@dataclass(frozen=True)
class BowlPlacement:
    """A bowl on the table: centre (x, y) in m in ``world``."""

    colour: str
    x: float
    y: float

    @property
    def name(self) -> str:
        """Name of the object, for example "white_bowl"."""
        return f"{self.colour}_bowl"


@dataclass(frozen=True)
class Layout:
    """What lies where. Blocks have distinct colours, bowls too."""

    seed: int
    held_out: bool
    blocks: tuple[BlockPlacement, ...]
    bowls: tuple[BowlPlacement, ...]


@dataclass(frozen=True)
class Appearance:
    """Looks that may vary between layouts, so that a policy does not overfit to one of them.

    Attributes:
        table: (3,) colour of the table, 0 to 1.
        brightness: factor on the lamp and the ambient light.
        lamp_direction: (3,) direction in which the lamp shines.
        block_edge: m.
        shade: factor on the colours of the blocks.
    """

    table: tuple[float, float, float] = TABLE_TONES[0]
    brightness: float = 1.0
    lamp_direction: tuple[float, float, float] = (-0.35, 0.25, -0.9)
    block_edge: float = BLOCK_EDGE
    shade: float = 1.0


@dataclass(frozen=True)
class CellObject:
    """An object as the simulator knows it.

    Attributes:
        name: for example "red_block".
        kind: "block" or "bowl".
        colour: key of COLOURS or BOWLS.
        world_from_object: (4, 4); a block's origin is its centre, a bowl's the middle of its underside.
        grasp_point: (3,) m in ``world``: where the tool centre belongs to grasp a block; for a bowl, where the tool
            centre belongs to let go of a block into it.
        size: m, edge of a block, outer diameter of a bowl.
    """

    name: str
    kind: str
    colour: str
    world_from_object: Array
    grasp_point: Array
    size: float


@dataclass(frozen=True)
class CellSnapshot:
    """Truth of one instant, for experts and judges; never an input of a policy.

    Attributes:
        time: s of simulated time.
        base_from_tip: (4, 4) pose of ``fr3_hand_tcp`` in ``fr3_link0`` (the same as ``world``).
        gripper_width: m between the fingers.
        objects: all that lie in the cell.
    """

    time: float
    base_from_tip: Array
    gripper_width: float
    objects: tuple[CellObject, ...]

    def find(self, name: str) -> CellObject:
        """Return the object of this name; raises KeyError that lists the names there are."""
        for item in self.objects:
            if item.name == name:
                return item
        raise KeyError(f"no object '{name}' in the cell; there are: {', '.join(item.name for item in self.objects)}")


def square_of(x: float, y: float) -> tuple[int, int]:
    """Return (row, column) of the grid square that holds a point of the workspace (m, ``world``)."""
    row = int((x - WORKSPACE_X[0]) / (WORKSPACE_X[1] - WORKSPACE_X[0]) * SQUARES)
    column = int((y - WORKSPACE_Y[0]) / (WORKSPACE_Y[1] - WORKSPACE_Y[0]) * SQUARES)
    return min(max(row, 0), SQUARES - 1), min(max(column, 0), SQUARES - 1)


def is_held_out(colour: str, x: float, y: float) -> bool:
    """Tell whether training never sees a block of this colour in the square of this point."""
    row, column = square_of(x, y)
    return (list(COLOURS).index(colour) + 2 * row + 3 * column) % 5 == 0


def sample_layout(seed: int, held_out: bool) -> Layout:
    """Return a random layout: three or four blocks, one or two bowls, reachable and clear of one another.

    In a held-out layout every block stands in a (colour, square) pair that training never sees; otherwise none does.
    The same arguments give the same layout. Raises ValueError for a negative seed.
    """
    if seed < 0:
        raise ValueError(f"expected a seed of 0 or more, got {seed}")
    generator = np.random.default_rng([seed, int(held_out)])
    while True:
        layout = _try_layout(generator, seed, held_out)
        if layout is not None:
            return layout


def _try_layout(generator: np.random.Generator, seed: int, held_out: bool) -> Layout | None:
    """Return one random layout, or None where the things drawn first left no room for the rest."""
    colours = generator.permutation(list(COLOURS))[: generator.integers(3, 5)]
    bowl_colours = generator.permutation(list(BOWLS))[: generator.integers(1, 3)]
    bowls: list[BowlPlacement] = []
    for colour in bowl_colours:
        for _ in range(40):
            x, y = _draw_point(generator, BOWL_DIAMETER / 2)
            if all(math.hypot(x - other.x, y - other.y) >= BOWL_SPACING for other in bowls):
                bowls.append(BowlPlacement(str(colour), x, y))
                break
        else:
            return None
    blocks: list[BlockPlacement] = []
    for colour in colours:
        for _ in range(80):
            x, y = _draw_point(generator, 0.0)
            yaw = float(generator.uniform(-BLOCK_YAW, BLOCK_YAW))
            if (
                is_held_out(str(colour), x, y) == held_out
                and all(math.hypot(x - other.x, y - other.y) >= BLOCK_SPACING for other in blocks)
                and all(math.hypot(x - bowl.x, y - bowl.y) >= BOWL_CLEARANCE for bowl in bowls)
            ):
                blocks.append(BlockPlacement(str(colour), x, y, yaw))
                break
        else:
            return None
    return Layout(seed, held_out, tuple(blocks), tuple(bowls))


def _draw_point(generator: np.random.Generator, margin: float) -> tuple[float, float]:
    """Return a uniform point of the workspace, at least ``margin`` m inside its edge."""
    x = generator.uniform(WORKSPACE_X[0] + margin, WORKSPACE_X[1] - margin)
    y = generator.uniform(WORKSPACE_Y[0] + margin, WORKSPACE_Y[1] - margin)
    return float(x), float(y)


def sample_appearance(seed: int) -> Appearance:
    """Return the looks that go with a layout's seed."""
    generator = np.random.default_rng([seed, 2])
    tone = np.asarray(TABLE_TONES[int(generator.integers(len(TABLE_TONES)))])
    table = np.clip(tone * generator.uniform(0.85, 1.1) + generator.normal(0.0, 0.015, 3), 0.0, 1.0)
    return Appearance(
        table=(float(table[0]), float(table[1]), float(table[2])),
        brightness=float(generator.uniform(0.85, 1.12)),
        lamp_direction=(float(generator.uniform(-0.6, 0.1)), float(generator.uniform(-0.4, 0.4)), -0.9),
        block_edge=float(generator.uniform(0.0385, 0.0415)),
        shade=float(generator.uniform(0.88, 1.08)),
    )


def pointing_down(x: float, y: float, z: float, yaw: float) -> Array:
    """Return the (4, 4) pose of a tool at (x, y, z) m that points straight down, turned by ``yaw`` rad about world z.

    At yaw 0 the tool's x axis is the world's, and the fingers open along the world's y.
    """
    matrix = np.eye(4)
    cosine, sine = math.cos(yaw), math.sin(yaw)
    matrix[:3, :3] = ((cosine, sine, 0.0), (sine, -cosine, 0.0), (0.0, 0.0, -1.0))
    matrix[:3, 3] = (x, y, z)
    return matrix


def start_pose(layout: Layout) -> Array:
    """Return base_from_tip (4, 4) at which a layout begins: above the near edge of the table, pointing down."""
    generator = np.random.default_rng([layout.seed, 3])
    return pointing_down(
        0.40 + float(generator.uniform(-0.03, 0.03)),
        float(generator.uniform(-0.06, 0.06)),
        0.30 + float(generator.uniform(-0.02, 0.02)),
        float(generator.uniform(-0.15, 0.15)),
    )
