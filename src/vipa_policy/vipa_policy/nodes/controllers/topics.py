"""Who else is on a topic that setpoints are streamed on. Guarded by tests/graph/test_controllers.py."""

from __future__ import annotations

from rclpy.node import Node

# What rclpy calls a node whose name has not come yet, or is gone already: it is looked at again soon.
UNNAMED = "_NODE_NAME_UNKNOWN_"


def sole_stream_problem(node: Node, topic: str) -> str:
    """Say why a node's stream on a topic is heard by nobody or is not the only one, "" where all is well."""
    name = node.resolve_topic_name(topic)
    rivals = [
        f"{info.node_namespace.rstrip('/')}/{info.node_name}"
        for info in node.get_publishers_info_by_topic(name)
        if info.node_name != UNNAMED
        and (info.node_name, info.node_namespace) != (node.get_name(), node.get_namespace())
    ]
    if rivals:
        return f"{name} is published by {', '.join(rivals)}, too: two streams would fight over the arm; stop one"
    if node.count_subscribers(name) == 0:
        return f"nobody takes targets on {name}: is the arm's driver running, with this controller?"
    return ""
