"""Fixtures for every test: the sourced workspace, a ROS domain of one's own, processes that are proven to end."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from support.domains import DomainAllocator
from support.processes import ProcessStarter
from support.workspace import REPOSITORY, sourced_environment

settings.register_profile("vipa", deadline=None)  # how fast a machine is proves nothing here
settings.load_profile("vipa")

# For nodes in the tests' own process; the middleware and torch read these when they start.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def workspace_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a fresh shell after `source ros2_ws/install/setup.bash`, kept on the loopback and single-threaded.

    Holds no ROS_DOMAIN_ID: take `graph_environment` to start nodes.
    """
    environment = sourced_environment()
    profile = str(REPOSITORY / "src" / "vipa_bringup" / "config" / "fastdds.xml")
    environment.update(
        ROS_AUTOMATIC_DISCOVERY_RANGE="LOCALHOST",
        FASTDDS_DEFAULT_PROFILES_FILE=profile,
        FASTRTPS_DEFAULT_PROFILES_FILE=profile,
        ROS_LOG_DIR=str(tmp_path_factory.mktemp("ros_log")),
        OMP_NUM_THREADS="1",
        PYTHONUNBUFFERED="1",
    )
    return environment


@pytest.fixture(scope="session")
def domain_allocator() -> DomainAllocator:
    """Hands out ROS domain ids; most tests want `ros_domain_id`."""
    return DomainAllocator()


@pytest.fixture(scope="module")
def ros_domain_id(domain_allocator: DomainAllocator) -> Iterator[int]:
    """ROS domain that belongs to this test module alone."""
    domain = domain_allocator.allocate()
    yield domain
    domain_allocator.release(domain)


@pytest.fixture(scope="module")
def graph_environment(workspace_environment: dict[str, str], ros_domain_id: int) -> dict[str, str]:
    """`workspace_environment` in the module's own ROS domain."""
    return {**workspace_environment, "ROS_DOMAIN_ID": str(ros_domain_id)}


@pytest.fixture
def launch_process(tmp_path: Path, graph_environment: dict[str, str]) -> Iterator[ProcessStarter]:
    """Start processes: `launch_process("ros2", "launch", ...)`; see support.processes.ProcessStarter.

    After the test each gets SIGINT, and the test fails if one ignores it or leaves a child behind.
    """
    starter = ProcessStarter(tmp_path, graph_environment)
    yield starter
    starter.stop_all()


@pytest.fixture(scope="module")
def module_launch_process(
    tmp_path_factory: pytest.TempPathFactory, graph_environment: dict[str, str]
) -> Iterator[ProcessStarter]:
    """`launch_process` whose processes live as long as the module: for a graph that several tests share."""
    starter = ProcessStarter(tmp_path_factory.mktemp("processes"), graph_environment)
    yield starter
    starter.stop_all()
