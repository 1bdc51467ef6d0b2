"""Results of trials: kept across a kill, resumed only by the same run, summed up as they are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest

from vipa_policy.control.timeline import SEAM_POLICIES
from vipa_policy.errors import DatasetError
from vipa_sim.evaluation import (
    ResultsFile,
    Settings,
    TrialResult,
    plot,
    read_results,
    seam_table,
    seam_verdict,
    summarise,
)
from vipa_sim.nodes.eval_cell import Run, launch_arguments, parse, turns

SETTINGS = Settings(task="reach", seed=0, policy="vipa-tiny")


def result(index: int, succeeded: bool = True, swapped: bool = False, error: float = 0.01) -> TrialResult:
    return TrialResult(
        index=index,
        swapped=swapped,
        layout_seed=100 + index,
        instruction="reach the red block",
        target="red_block",
        succeeded=succeeded,
        error=error,
        elapsed=3.0 + index,
        nearest="red_block",
        path=((0.4, 0.0), (0.5, 0.1)),
        target_point=(0.5, 0.1),
    )


def write(path: Path, results: list[TrialResult]) -> None:
    file = ResultsFile(path, SETTINGS, resume=False)
    for item in results:
        file.append(item)
    file.close()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    results = [result(0), result(0, swapped=True), result(1, succeeded=False)]
    write(tmp_path / "a.jsonl", results)
    assert read_results(tmp_path / "a.jsonl") == (SETTINGS, results)


def test_a_line_cut_short_is_dropped_and_the_rest_resumed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, [result(0), result(1)])
    text = path.read_text()
    path.write_text(text[: len(text) - 30])
    resumed = ResultsFile(path, SETTINGS, resume=True)
    assert resumed.results == [result(0)]
    resumed.append(result(1))
    resumed.close()
    assert read_results(path)[1] == [result(0), result(1)]


def test_without_resume_it_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, [result(0)])
    write(path, [])
    assert read_results(path)[1] == []


def test_another_run_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, [result(0)])
    with pytest.raises(DatasetError, match=r"reach.*pick"):
        ResultsFile(path, Settings("pick", 0, "vipa-tiny"), resume=True)
    assert read_results(path)[1] == [result(0)]


@pytest.mark.parametrize("text", ["", "no json\n", '{"trial": {}}\n'])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"a\.jsonl"):
        read_results(path)


def test_damage_in_the_middle_is_not_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, [result(0), result(1)])
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:20]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_results(path)


def test_summary_counts_first_and_swapped_trials_apart() -> None:
    results = [result(k, succeeded=k != 3, error=0.001 * (k + 1)) for k in range(5)]
    results += [result(0, swapped=True), result(1, succeeded=False, swapped=True)]
    summary = summarise(SETTINGS, results)
    assert (summary["n"], summary["success"], summary["rate"]) == (5, 4, 0.8)
    assert (summary["swapped_n"], summary["swapped_rate"]) == (2, 0.5)
    assert summary["ci95"] == pytest.approx([0.3755, 0.9638], abs=1e-4)
    assert summary["median_error_mm"] == 3.0
    assert summary["median_time_s"] == pytest.approx(4.5)


def test_summary_of_nothing_claims_nothing() -> None:
    summary = summarise(SETTINGS, [])
    assert summary["rate"] is None
    assert summary["ci95"] == [0.0, 1.0]
    assert summary["swapped_rate"] is None


def test_summary_tells_smoothness_of_first_trials_and_gaps_of_all_their_seams() -> None:
    smooth = [
        replace(result(k), jerk_rms=4.0 + k, jerk_p95=10.0, spectral_arc_length=-1.5, gaps=(0.001 * k, 0.004))
        for k in range(3)
    ]
    summary = summarise(SETTINGS, [*smooth, result(3), replace(result(0, swapped=True), jerk_rms=99.0, gaps=(1.0,))])
    assert summary["jerk_rms"] == 5.0  # what was not measured does not count
    assert summary["jerk_p95"] == 10.0
    assert summary["tip_jerk_rms"] is None
    assert summary["spectral_arc_length"] == -1.5
    assert summary["gap_mm_p50"] == pytest.approx(3.0)
    assert summary["gap_mm_p95"] == pytest.approx(4.0)


def test_gaps_and_figures_that_were_not_measured_are_read_back(tmp_path: Path) -> None:
    results = [replace(result(0), jerk_rms=4.5, gaps=(0.001, 0.002)), result(1)]
    write(tmp_path / "a.jsonl", results)
    assert read_results(tmp_path / "a.jsonl")[1] == results


def compared(rtc: float, replaced: float, successes: int = 5) -> dict[str, dict[str, Any]]:
    runs = {"replace": (5, replaced), "blend": (5, 4.0), "rtc": (successes, rtc)}
    return {
        seam: summarise(SETTINGS, [replace(result(k, succeeded=k < good), jerk_rms=jerk) for k in range(5)])
        for seam, (good, jerk) in runs.items()
    }


def test_seam_policies_are_told_side_by_side_and_the_verdict_follows_from_the_figures() -> None:
    table = seam_table(compared(3.0, 5.0)).splitlines()
    assert table[0].startswith("| seam | reached | 95 % interval | time s |")
    assert table[0].count("|") == table[1].count("|") == table[2].count("|")
    assert table[2].startswith("| replace | 5 of 5 | 56.5 to 100.0 % | 5.00 | 10.0 | 5.00 |  |")
    assert seam_verdict(compared(3.0, 5.0)) == {"rtc_as_successful": True, "rtc_less_jerk": True}
    assert seam_verdict(compared(6.0, 5.0, successes=4)) == {"rtc_as_successful": False, "rtc_less_jerk": False}


def test_seam_policies_take_turns_on_the_same_layouts(tmp_path: Path) -> None:
    """Each is the first of a turn now and then: what changes on the machine meets all of them."""
    options = parse(["--n", "12", "--swaps", "0", "--seam", "all", "--out", str(tmp_path)])
    runs = [Run(options, seam) for seam in SEAM_POLICIES]
    order = [(run.seam, list(block)) for run, block in turns(runs, 12)]
    assert [seam for seam, _ in order] == [*SEAM_POLICIES, "blend", "rtc", "replace", "rtc", "replace", "blend"]
    for seam in SEAM_POLICIES:
        assert [index for one, block in order if one == seam for index in block] == list(range(12))
    assert turns(runs[:1], 12) == [(runs[0], range(12))]
    assert runs[2].missing(range(3)) == [(0, False), (1, False), (2, False)]
    assert "seam:=rtc" in launch_arguments(options, "rtc")
    for run in runs:
        run.results.close()


def test_plot_is_a_picture(tmp_path: Path) -> None:
    plot(SETTINGS, [result(0), result(1, succeeded=False, error=0.2), result(0, swapped=True)], tmp_path / "a.png")
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture is not None
    assert picture.std() > 1.0
    plot(SETTINGS, [], tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 0
