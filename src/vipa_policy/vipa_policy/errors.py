"""Every error the library raises on bad input. Each message says what was expected, what came, what to do."""

from __future__ import annotations


class VipaError(Exception):
    """Base of all errors a user of VIPA can cause and mend."""


class ContractMismatch(VipaError):
    """Two action contracts met that do not describe the same actions."""


class EmbodimentError(VipaError):
    """A policy was asked to move a body that it does not know."""


class ObservationError(VipaError):
    """An observation cannot be used: a part is missing, has the wrong shape, or holds implausible values."""


class CameraError(VipaError):
    """A camera cannot be opened, was lost, or delivers what cannot be used."""


class InstructionError(VipaError):
    """An instruction lies outside what the checkpoint was trained on."""


class CheckpointError(VipaError):
    """A checkpoint is missing, cut short, of a newer version, or not what it says it is."""


class TrainingError(VipaError):
    """A training run cannot be set up as asked: a stage, an option or a package that there is not."""


class ChunkError(VipaError):
    """A chunk cannot be executed: wrong shape, not finite, rotated wrongly, or too old."""


class KinematicsError(VipaError):
    """A robot description lacks what is asked of it, or joint angles or a pose are none."""


class DatasetError(VipaError):
    """A recording or training set cannot be read or does not fit what is asked of it."""


class MotionError(VipaError):
    """A trajectory and motion tokens cannot be turned into each other: not finite, wrong shape, or out of order."""


class CalibrationError(VipaError):
    """A hand-eye calibration cannot be made, read or used."""


class BoardNotSeen(CalibrationError):
    """Too little of the calibration board is in the picture to tell where it is."""


class WrongBoard(CalibrationError):
    """A board was seen that is not the one it was said to be: other markers, another grid, or another size."""


class DegenerateMotion(CalibrationError):
    """The poses collected do not determine the camera's pose.

    Attributes:
        missing: what motion is missing, one piece of advice each.
    """

    def __init__(self, message: str, missing: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.missing = missing


class ArmError(VipaError):
    """An arm's driver cannot do what it was asked to, or a robot is not what it was said to be."""
