"""The benches: figures are about what they say, and the code for devices that are not here runs at tiny shapes."""

import json

import pytest
import torch

from vipa_policy.bench import gpu, model, peaks, rival, subject, timing, training
from vipa_policy.model import VipaPolicy
from vipa_policy.model.config import vipa_2b, vipa_tiny
from vipa_policy.model.engine import EngineOptions


class Ticks:
    """A clock that moves only when it is told to."""

    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time

    def wait(self, seconds):
        self.time += seconds


def test_actions_take_turns_and_warming_up_does_not_count():
    ticks, order = Ticks(), []

    def action(name, seconds):
        order.append(name)
        ticks.wait(seconds if len(order) > 2 else 100.0)

    times = timing.take_turns(
        {"a": lambda: action("a", 0.002), "b": lambda: action("b", 0.004)}, turns=3, warm_up=1, now=ticks
    )
    assert order == ["a", "b"] * 4
    assert times == {"a": pytest.approx([2.0] * 3), "b": pytest.approx([4.0] * 3)}
    assert timing.ratio(times["a"], times["b"]) == pytest.approx(0.5)


def test_a_ratio_compares_within_turns():
    """A machine that is busy in one turn is busy for both; the median of ratios does not see it."""
    assert timing.ratio([1.0, 10.0, 100.0], [2.0, 20.0, 200.0]) == pytest.approx(0.5)


def test_a_stopwatch_times_parts_and_goes_away():
    ticks = Ticks()

    class Part:
        def work(self, seconds):
            ticks.wait(seconds)
            return "done"

    part = Part()
    with timing.Stopwatch(ticks) as watch:
        watch.stand_before(part, "work", "part")
        whole = watch.turn(lambda: (part.work(0.002), part.work(0.001), ticks.wait(0.005)))
        watch.turn(lambda: ticks.wait(0.001))
    assert whole == pytest.approx(8.0)
    assert watch.turns[0] == {"part": pytest.approx(3.0)}
    assert watch.medians() == {"part": pytest.approx(1.5)}
    assert vars(part) == {}
    assert part.work(0.0) == "done"


@pytest.mark.parametrize(("reading", "tokens"), [("language tokens", 49), ("patches", 196)])
def test_the_rival_has_our_sizes(reading, tokens):
    config = vipa_tiny()
    made = rival.build(rival.same_size(config, reading), torch.float32)
    vision, text = made.model.config.vlm_config.vision_config, made.model.config.vlm_config.text_config
    expert = made.model.config.dit_config
    semantic = config.semantic
    assert made.image_tokens == tokens
    assert (vision.hidden_size, vision.num_hidden_layers) == (semantic.vision_width, semantic.vision_layers)
    assert (text.hidden_size, text.num_hidden_layers) == (semantic.language_width, semantic.language_layers)
    assert (expert.hidden_size, expert.num_hidden_layers) == (config.head.width, semantic.language_layers)
    assert made.default_steps == 10
    assert made.predict(1).shape == (1, config.horizon, 10)
    seen = made.model.model.vlm.get_image_features(made.inputs["pixel_values"][:, 0]).pooler_output
    assert seen.shape[1] == tokens


@pytest.mark.parametrize("fused", [True, False])
def test_the_parts_of_a_prediction_are_timed_under_the_same_names(checkpoint, fused):
    policy = VipaPolicy(checkpoint, torch.device("cpu"), "test", EngineOptions(fused=fused))
    assert (policy.engine.fused is not None) == fused
    seen = model.observation_of(policy)
    predict = model.predictor(policy, seen, 4)
    expected = policy.predict(seen, model.WORDS, seed=0).camera_from_tip
    parts = subject.split_of(policy.engine, predict, 4, 3, timing.Stopwatch(), policy)
    names = {"preprocess", "vision", "spatial", "fusion", "language", "pointing", "head_once", "head_steps"}
    assert set(parts) == names | {"other", "head_per_step"}
    assert all(parts[name] > 0 for name in names)
    assert parts["head_per_step"] == pytest.approx(parts["head_steps"] / 4)
    assert 0 < subject.head_share(parts) < 1
    again = policy.predict(seen, model.WORDS, seed=0).camera_from_tip  # no stopwatch stays behind
    assert (again == expected).all()


def test_the_shapes_are_those_of_the_published_models():
    one = subject.vipa_1b().semantic
    assert (one.vision_width, one.vision_layers) == (1024, 24)
    assert (one.language_width, one.language_layers, one.language_feedforward) == (1024, 28, 3072)
    assert subject.unpublished(vipa_2b()).semantic.published == ""


def test_random_networks_have_something_to_compute():
    """A head that starts at zero would hide a part that is missing."""
    made = subject.subject(gpu.smoke_config(), EngineOptions(precision="bf16"))
    assert made.predict(2).abs().sum() > 0
    assert made.engine.precision == torch.bfloat16
    assert made.predict(2).equal(made.predict(2))


def test_peaks_are_of_the_product_and_the_copy():
    card = peaks.measure(torch.device("cpu"), torch.float32, size=64, traffic=2**16)
    assert card.flops > 0
    assert card.bandwidth > 0


@pytest.mark.parametrize("name", sorted(training.PLANS))
def test_a_training_step_says_what_it_cost(name):
    if "lora" in name:
        pytest.importorskip("peft")
    found = training.measure(name, gpu.smoke_config(), torch.device("cpu"), 1e9, 2, 1, False)
    assert "not_measured" not in found, found
    assert found["samples_per_s"] == pytest.approx(2e3 / found["ms_per_step"])
    assert found["mfu"] == pytest.approx(1e12 * found["tflop_per_step"] / 1e9 / (1e-3 * found["ms_per_step"]))


def test_the_device_bench_runs_at_tiny_shapes_and_keeps_its_figures(tmp_path, capsys):
    assert gpu.main(["--smoke", "--turns", "1", "--save", str(tmp_path)]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    figures = json.loads(line)
    (kept,) = tmp_path.glob("gpu_*.json")
    assert json.loads(kept.read_text()) == figures
    for views in ("views_1", "views_2"):
        assert figures["inference"][views]["eager"]["times_roofline"] > 0
        assert figures["pi0"][views]["ms_default_steps"] > 0
    assert set(figures["training"]) == {"stage_2", "stage_3_lora"}


def test_without_a_device_it_says_so_and_exits_with_its_own_code(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == gpu.NO_DEVICE == 3
    assert "no CUDA device" in capsys.readouterr().err


def test_old_packages_are_named(monkeypatch, capsys):
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu128")
    assert gpu.main(["--smoke"]) == gpu.TOO_OLD
    assert "torch 2.9.1+cu128 (expected 2.11 or newer)" in capsys.readouterr().err


def test_the_processor_bench_reports_what_there_are_targets_for(checkpoint, tmp_path, capsys):
    checkpoint.save_pretrained(tmp_path / "small")
    threads = torch.get_num_threads()
    try:
        assert model.main(["--checkpoint", str(tmp_path / "small"), "--turns", "2", "--threads", "1"]) == 0
    finally:
        torch.set_num_threads(threads)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    for name in ("latency_ms_p50", "latency_ms_p99", "ratio_pi0_default", "ratio_pi0_equal_steps", "head_share"):
        assert figures[name] > 0
    assert figures["threads"] == 1
    assert figures["pi0"]["patches"]["image_tokens"] == 4 * figures["pi0"]["language tokens"]["image_tokens"]
