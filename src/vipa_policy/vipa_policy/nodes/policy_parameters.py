"""Parameters of the policy node: every name, default, range and meaning in one place."""

from __future__ import annotations

from vipa_policy.nodes.parameters import FREE, Declaration, real, whole

DECLARATIONS: tuple[Declaration, ...] = (
    ("checkpoint", "vipa-tiny", "folder of a checkpoint, or its name under the models folder", FREE),
    ("device", "auto", "auto, cpu or cuda", FREE),
    ("threads", 1, "of torch on a processor that other nodes share; 0 leaves torch its choice", whole(0, 256)),
    ("precision", "auto", "fp32, bf16, or auto: bf16 on a CUDA device that has it in hardware", FREE),
    ("compile", False, "whether torch.compile takes the network over: seconds to minutes before the first chunk", FREE),
    ("embodiment", "", "which of the checkpoint's embodiments this arm is; empty where it knows only one", FREE),
    ("seed", -1, "of the flow's noise, the same for every chunk; -1 draws a fresh one each time", whole(-1, 2**31 - 1)),
    ("flow_steps", 0, "Euler steps of the flow; 0 takes the checkpoint's", whole(0, 100)),
    ("inpainting", False, "whether chunks begin with the rows that the arm will have done by then", FREE),
    ("maximum_rate", 0.0, "Hz, most chunks per second of image stamps; 0 takes every image", real(0.0, 120.0)),
    ("base_frame", "fr3_link0", "TF frame that stands still while cameras move", FREE),
    ("camera_names", ["scene", "wrist"], "view names of the contract this node has topics for", FREE),
    ("camera_topics", ["camera/camera", "camera/wrist"], "topic prefixes, one for each of camera_names", FREE),
    (
        "gripper_joints",
        ["fr3_finger_joint1", "fr3_finger_joint2"],
        "joints whose positions add up to the gripper's width in m",
        FREE,
    ),
    ("slop", 0.02, "s, largest difference of stamps within one observation", real(0.0, 0.2)),
    ("timeout", 0.125, "s without a part of the observation after which it counts as lost", real(0.02, 5.0)),
    (
        "refuse_repeats",
        True,
        "whether a picture that repeats the one before bit for bit counts as none, whatever its stamp; false for "
        "simulated cameras without noise",
        FREE,
    ),
    (
        "image_delay",
        0.0,
        "s by which pictures are stamped later than they were taken, by the clock of TF; taken off every stamp",
        real(-0.5, 0.5),
    ),
    (
        "delay_tolerance",
        0.025,
        "s by which the delay estimated from motion may differ from image_delay before it is warned of",
        real(0.001, 1.0),
    ),
    ("latency_budget", 0.2, "s from capture to publication; chunks that took longer are counted", real(0.001, 10.0)),
    ("oldest", 0.3, "s, age of an image beyond which it is not used", real(0.02, 5.0)),
    ("tf_wait", 0.06, "s of wall time an image waits for the transform at its stamp", real(0.0, 0.5)),
    ("clock_timeout", 1.0, "s of wall time without progress of the clock after which it is lost", real(0.1, 60.0)),
)
