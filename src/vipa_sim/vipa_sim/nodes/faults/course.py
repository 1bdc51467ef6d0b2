"""The course of one fault on the running graph: set the arm in motion, strike, wait, lift, see it recover."""

from __future__ import annotations

import math
import time
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from std_srvs.srv import Trigger

from vipa_policy.control.limits import Limits
from vipa_policy.nodes.arm_parameters import DECLARATIONS, limits_from
from vipa_sim.experts import instruction
from vipa_sim.faults.judge import MOVING, Outcome, judge
from vipa_sim.faults.table import Fault
from vipa_sim.nodes.cell_client import CellClient
from vipa_sim.nodes.faults.injections import INJECTIONS, Injection, Stage
from vipa_sim.nodes.launched_graph import GraphError

# m/s and s of simulated time: the arm must be well on its way when the fault strikes.
STEADY_SPEED, STEADY_FOR = 0.06, 0.4
# s of simulated time within which it must be, and how often it is tried anew.
SETTING_OUT, ATTEMPTS = 6.0, 4
# s of simulated time that a graph gets to recover by itself, and of wall time that a started process gets.
BY_ITSELF, STARTED = 8.0, 120.0
# s of simulated time that are recorded after the recovery.
AFTERWARDS = 0.5
# A cell slower than this share of its pace is taken for hung.
SLOWEST = 0.02
# s of wall time between two times that words are said again.
REPEATED = 0.5
UNKNOWN_WORDS = "juggle"


class Course:
    """Runs faults on a stage.

    Args:
        stage: with the graph up.
        limits: that the arm node was told.
        seed: of the first layout; every attempt takes the next one.
    """

    def __init__(self, stage: Stage, limits: Limits, seed: int) -> None:
        self._stage = stage
        self._limits = limits
        self._seed = seed
        self._last_colour = ""

    def run(self, fault: Fault) -> Outcome:
        """Inject a fault and return what it came to. Raises GraphError where the graph does not get that far."""
        stage = self._stage
        injection = INJECTIONS[fault.name]()
        try:
            self._set_in_motion(injection)
            injection.strike(stage)
            struck = stage.relays.now
            self._wait_until(struck + fault.lasts)
            lifted = stage.relays.now
            injection.lift(stage)
            lifted = lifted if injection.fades else stage.relays.now
            self._recover(fault, lifted)
        finally:
            injection.clean(stage)
            stage.relays.open()
        return judge(fault, stage.monitor.record.recording(struck, lifted), self._limits)

    def _set_in_motion(self, injection: Injection) -> None:
        """Send the arm to a block on a fresh layout until it is well on its way."""
        stage = self._stage
        for _ in range(ATTEMPTS):
            injection.clean(stage)
            self._lay_the_table()
            injection.prepare(stage)
            stage.monitor.record.clear()
            began = stage.relays.now
            self._say(began + SETTING_OUT)
            stage.client.wait_for(
                lambda began=began: (
                    stage.monitor.record.moving_for(STEADY_SPEED) > STEADY_FOR  # type: ignore[misc]
                    or stage.relays.now > began + SETTING_OUT
                ),
                "the arm to move",
                SETTING_OUT / SLOWEST,
            )
            if stage.monitor.record.moving_for(STEADY_SPEED) > STEADY_FOR:
                return
        raise GraphError(
            f"the arm did not set out on {ATTEMPTS} layouts; its state is {stage.monitor.record.moments[-1:]}"
        )

    def _lay_the_table(self) -> None:
        """Take the next layout, with the arm at its start pose, and the block farthest from it."""
        stage = self._stage
        stage.client.stop()
        self._seed += 1
        state = stage.client.reset(self._seed, held_out=True)
        blocks = [item for item in state.objects if item.kind == "block" and item.colour != self._last_colour]
        tip = state.tip.position
        blocks.sort(key=lambda item: math.hypot(item.grasp_point.x - tip.x, item.grasp_point.y - tip.y))
        self._last_colour = blocks[-1].colour
        stage.words = instruction("reach", self._last_colour)
        stage.others = (UNKNOWN_WORDS, instruction("reach", blocks[0].colour))

    def _say(self, until: float) -> None:
        """Say the words until the policy has them in force."""
        stage, client = self._stage, self._stage.client
        last = 0.0

        def in_force() -> bool:
            nonlocal last
            if time.monotonic() - last > REPEATED:
                client.instruct(stage.words)
                last = time.monotonic()
            return (client.policy is not None and client.policy.instruction == stage.words) or stage.relays.now > until

        client.wait_for(in_force, f"the policy to hear '{stage.words}'", STARTED)

    def _wait_until(self, stamp: float) -> None:
        """Let simulated time pass."""
        relays = self._stage.relays
        self._stage.client.wait_for(
            lambda: relays.now >= stamp, "the cell's clock", max(stamp - relays.now, 0.1) / SLOWEST
        )

    def _recover(self, fault: Fault, lifted: float) -> None:
        """Wait until the arm moves again, or long enough for it to be sure that it does not."""
        stage = self._stage
        began, said = time.monotonic(), 0.0

        def settled() -> bool:
            nonlocal said
            if fault.words_again and time.monotonic() - said > REPEATED:
                stage.client.instruct(stage.words)
                said = time.monotonic()
            if stage.monitor.record.moves_after(lifted, MOVING if fault.holds else 0.0):
                return True
            return time.monotonic() - began > STARTED and stage.relays.now > lifted + BY_ITSELF

        if fault.operator:
            self._release()
        stage.client.wait_for(settled, "the recovery", STARTED + BY_ITSELF / SLOWEST)
        self._wait_until(stage.relays.now + AFTERWARDS)

    def _release(self) -> None:
        """Do what a person does: have the driver cleared, confirm as soon as it may be, clear the stop."""
        self._ask("arm/recover")
        deadline = time.monotonic() + STARTED
        while not self._ask("arm/arm"):
            if time.monotonic() > deadline:
                raise GraphError("the arm could not be armed again")
        self._ask("arm/resume")

    def _ask(self, name: str) -> bool:
        """Call a service of the arm node; returns whether it did so."""
        stage = self._stage
        client = stage.node.create_client(Trigger, name)
        stage.client.wait_for(client.service_is_ready, name, STARTED)
        answer = stage.client.call(client, Trigger.Request())
        stage.node.destroy_client(client)
        return bool(answer.success)


def arm_limits(node: Node, client: CellClient) -> tuple[Limits, float]:
    """Return the limits that the running arm node was told, and the s between two of its setpoints."""
    names = [name for name, *_ in DECLARATIONS]
    asked = node.create_client(GetParameters, "arm/get_parameters")
    client.wait_for(asked.service_is_ready, "the arm's parameters", STARTED)
    answer = client.call(asked, GetParameters.Request(names=names))
    values: dict[str, Any] = {
        name: parameter_value_to_python(value) for name, value in zip(names, answer.values, strict=True)
    }
    return limits_from(values), 1.0 / float(values["rate"])
