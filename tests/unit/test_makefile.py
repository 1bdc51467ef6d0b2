"""Arguments of make targets reach the programs whole, and nothing in them is run."""

import os
import subprocess
from pathlib import Path

import pytest
from support.workspace import REPOSITORY


@pytest.fixture
def make(tmp_path: Path) -> tuple[list[str], Path]:
    """Return a make command whose programs only note their arguments, one a line, and the file they go to."""
    noted = tmp_path / "arguments"
    recorder = tmp_path / "recorder"
    recorder.write_text(f'#!/bin/sh\nfor argument; do echo "$argument"; done > {noted}\n')
    recorder.chmod(0o755)
    return ["make", f"IN_WORKSPACE={recorder}", "SETUP=true"], noted


def arguments_of(make: tuple[list[str], Path], *words: str) -> list[str]:
    command, noted = make
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    for name in ("TASK", "N", "SEED", "CAMERA"):
        environment.pop(name, None)
    done = subprocess.run(
        [*command, *words], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == done.stderr == ""  # the last line of a target is its program's own
    return noted.read_text().splitlines()


def test_eval_cell_has_defaults(make: tuple[list[str], Path]) -> None:
    expected = ["ros2", "run", "vipa_sim", "eval_cell", "--task", "reach", "--n", "100", "--seed", "0"]
    assert arguments_of(make, "eval-cell") == expected


def test_eval_cell_passes_a_camera_pose_as_one_argument(make: tuple[list[str], Path]) -> None:
    arguments = arguments_of(make, "eval-cell", "TASK=pick", "N=3", "SEED=7", "CAMERA=-1.1 0 0.5 0 0.65 3.14")
    assert arguments[-7:] == ["--task", "pick", "--n", "3", "--seed", "7", "--camera=-1.1 0 0.5 0 0.65 3.14"]


def test_eval_cell_passes_a_seam_policy(make: tuple[list[str], Path]) -> None:
    assert arguments_of(make, "eval-cell", "SEAM=rtc")[-1] == "--seam=rtc"


def test_nothing_in_an_argument_is_run(make: tuple[list[str], Path], tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    task = f"reach\"; touch {witness}; `touch {witness}`; '"
    assert task in arguments_of(make, "eval-cell", f"TASK={task}")
    assert not witness.exists()


def test_eval_calibration_runs_the_evaluation(make: tuple[list[str], Path]) -> None:
    assert arguments_of(make, "eval-calibration") == ["ros2", "run", "vipa_sim", "eval_calibration"]


def test_bench_runtime_takes_its_seconds(make: tuple[list[str], Path]) -> None:
    expected = ["ros2", "run", "vipa_sim", "bench_runtime", "--seconds"]
    assert arguments_of(make, "bench-runtime") == [*expected, "60"]
    assert arguments_of(make, "bench-runtime", "SECONDS=5") == [*expected, "5"]


def test_soak_takes_its_minutes(make: tuple[list[str], Path]) -> None:
    expected = ["ros2", "run", "vipa_sim", "soak", "--minutes"]
    assert arguments_of(make, "soak") == [*expected, "30"]
    assert arguments_of(make, "soak", "MINUTES=2.5") == [*expected, "2.5"]


def test_demo_runs_the_demo(make: tuple[list[str], Path]) -> None:
    assert arguments_of(make, "demo") == ["ros2", "run", "vipa_sim", "demo"]


def test_bench_model_passes_its_arguments(make: tuple[list[str], Path]) -> None:
    expected = ["python", "-m", "vipa_policy.bench.model", "--threads", "1"]
    assert arguments_of(make, "bench-model", "BENCH_ARGUMENTS=--threads 1") == expected


def test_bench_gpu_needs_neither_a_set_up_nor_a_workspace(make: tuple[list[str], Path]) -> None:
    command, _ = make
    recorder = command[1].partition("=")[2]
    without = ["make", "IN_WORKSPACE=false", "SETUP=false", f"PYTHON={recorder}"]
    expected = ["-m", "vipa_policy.bench.gpu", "--save", "docs/results", "--smoke"]
    assert arguments_of((without, make[1]), "bench-gpu", "BENCH_ARGUMENTS=--smoke") == expected
