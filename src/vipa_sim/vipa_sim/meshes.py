"""Coarser meshes of the arm: drawn on a processor, its quarter of a million faces cost more than all the rest.

Only what is drawn is coarsened, never what collides. Guarded by tests/sim/test_camera.py.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

# Meshes below this many faces are left as they are.
FEW_FACES = 600


def coarsen_visual_meshes(spec: Any, cell_size: float) -> None:
    """Replace a model's visual meshes by coarser ones, in place.

    Args:
        spec: model whose meshes are files.
        cell_size: m; detail smaller than this is lost.
    """
    model = spec.copy().compile()
    drawn = {geom.meshname for geom in spec.geoms if geom.contype == 0 and geom.type == mujoco.mjtGeom.mjGEOM_MESH}
    for mesh in spec.meshes:
        if mesh.name not in drawn or not mesh.file:
            continue
        compiled = model.mesh(mesh.name).id
        first, count = model.mesh_faceadr[compiled], model.mesh_facenum[compiled]
        if count < FEW_FACES:
            continue
        start = model.mesh_vertadr[compiled]
        vertices = model.mesh_vert[start : start + model.mesh_vertnum[compiled]]
        # The compiler moves meshes into their inertial frame; back to that of the file.
        turn = Rotation.from_quat(model.mesh_quat[compiled], scalar_first=True)
        vertices = turn.apply(vertices) + model.mesh_pos[compiled]
        vertices, faces = cluster_vertices(vertices, model.mesh_face[first : first + count], cell_size)
        mesh.file = ""
        mesh.uservert, mesh.userface = vertices.ravel().tolist(), faces.ravel().tolist()
        mesh.inertia = mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL


def cluster_vertices(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], cell_size: float
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Merge the vertices that share a cell of a grid, and drop the faces that vanish.

    Args:
        vertices: (n, 3) in m.
        faces: (m, 3) indices.
        cell_size: m.

    Returns vertices (k, 3), each the mean of those merged, and faces (l, 3).
    """
    cells = np.floor(vertices / cell_size).astype(np.int64)
    _, labels = np.unique(cells, axis=0, return_inverse=True)
    labels = labels.ravel()
    counts = np.bincount(labels)
    merged = np.stack([np.bincount(labels, weights=vertices[:, axis]) / counts for axis in range(3)], axis=1)
    moved = labels[faces]
    alive = (moved[:, 0] != moved[:, 1]) & (moved[:, 1] != moved[:, 2]) & (moved[:, 0] != moved[:, 2])
    _, kept = np.unique(np.sort(moved[alive], axis=1), axis=0, return_index=True)
    moved = moved[alive][np.sort(kept)]
    used, compact = np.unique(moved, return_inverse=True)
    return merged[used], compact.reshape(-1, 3).astype(np.int32)
