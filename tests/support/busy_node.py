"""A node with something for every verb of the ros2 command: `python busy_node.py`."""

from typing import Any

import rclpy
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.action import ActionServer
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool

from vipa_msgs.action import MoveGripper


class BusyNode(Node):
    """Talks on `chat`, `pose` and `numbers`, says what it heard, serves `switch` and `grip`."""

    def __init__(self) -> None:
        super().__init__("busy", namespace="/house")
        rate = ParameterDescriptor(
            description="how often, Hz", floating_point_range=[FloatingPointRange(from_value=0.5, to_value=100.0)]
        )
        self.declare_parameter("rate", 20.0, rate)
        self.declare_parameter("name.first", "Ann")
        self.declare_parameter("counts", [1, 2, 3])
        self.chat = self.create_publisher(String, "/chat", 10)
        self.pose = self.create_publisher(PoseStamped, "/pose", 10)
        self.numbers = self.create_publisher(Float64MultiArray, "/numbers", 10)
        self.create_subscription(String, "/heard", self.hear, 10)
        self.create_service(SetBool, "/switch", self.switch)
        self.create_timer(1.0 / self.get_parameter("rate").value, self.talk)
        self.grip_server = ActionServer(self, MoveGripper, "/grip", self.grip)

    def hear(self, message: String) -> None:
        """Say what was heard."""
        print(f"heard {message.data}", flush=True)

    def talk(self) -> None:
        """Publish one message on each topic."""
        self.chat.publish(String(data="hallo"))
        pose = PoseStamped()
        pose.header.frame_id = "map"
        pose.pose.position.x = 1.5
        self.pose.publish(pose)
        self.numbers.publish(Float64MultiArray(data=[0.5] * 200))

    def switch(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Answer with what was asked."""
        response.success = request.data
        response.message = "on" if request.data else "off"
        return response

    def grip(self, goal_handle: Any) -> MoveGripper.Result:
        """Succeed at once."""
        goal_handle.publish_feedback(MoveGripper.Feedback())
        goal_handle.succeed()
        return MoveGripper.Result()


def main() -> None:
    """Spin both nodes until a signal."""
    rclpy.init()
    executor = SingleThreadedExecutor()
    executor.add_node(BusyNode())
    executor.add_node(LifecycleNode("managed"))
    print("up", flush=True)
    try:
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        print("down", flush=True)


if __name__ == "__main__":
    main()
