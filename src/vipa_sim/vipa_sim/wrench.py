"""What the world does to the hand: force and torque of all contacts of hand and fingers, as an arm would estimate them.

What is held counts with its weight, the squeeze of the fingers cancels. Guarded by tests/sim/test_wrench.py.
"""

from __future__ import annotations

import mujoco
import numpy as np

from vipa_policy.geometry import Array

HAND = ("hand", "left_finger", "right_finger")


class ContactWrench:
    """The external wrench on the hand.

    Args:
        model, data: of the cell.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._of_hand = np.isin(model.geom_bodyid, [model.body(name).id for name in HAND])
        self._tip = model.site("tip").id

    def measure(self) -> tuple[Array, Array]:
        """Return force (3,) in N and torque (3,) in N m about the tip, base frame, of the last physics step."""
        data, contacts = self._data, self._data.contact
        of_hand = self._of_hand[contacts.geom]
        touching = np.flatnonzero(of_hand[:, 0] != of_hand[:, 1])
        if not len(touching):
            return np.zeros(3), np.zeros(3)
        local = np.zeros((len(touching), 6))
        for row, index in zip(local, touching.tolist(), strict=True):
            mujoco.mj_contactForce(self._model, data, index, row)
        # Rows of a contact's frame are its axes; the force is the one on the second geom.
        local *= np.where(of_hand[touching, 1], 1.0, -1.0)[:, None]
        frames = contacts.frame[touching].reshape(-1, 3, 3)
        forces = np.einsum("ni,nij->nj", local[:, :3], frames)
        torques = np.einsum("ni,nij->nj", local[:, 3:], frames)
        arms = contacts.pos[touching] - data.site_xpos[self._tip]
        return forces.sum(axis=0), (torques + np.cross(arms, forces)).sum(axis=0)
