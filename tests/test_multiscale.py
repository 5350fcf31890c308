"""The queue that compares flows of several scales: budgets are equal, and a network is judged."""
import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import multiscale  # noqa: E402


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(multiscale.laboratory, "newest", lambda name: None)
    monkeypatch.setattr(multiscale, "SAMPLERS", dict([*multiscale.SAMPLERS.items()][:1]))
    return tmp_path


@pytest.mark.parametrize("way", [w for w in multiscale.WAYS if w not in multiscale.SEARCH])
def test_all_train_for_the_same_flops(way, monkeypatch):
    monkeypatch.setitem(multiscale.STEPS, "tiny", 1000)
    steps = multiscale.steps_of("fashion-32", way, "flops", "tiny")
    config = multiscale.config_of("fashion-32", way, steps, 0, "tiny")
    reference = multiscale.config_of("fashion-32", multiscale.REFERENCE, 1000, 0, "tiny")
    spent = [c.steps * multiscale.step_flops(c) for c in (config, reference)]
    assert abs(spent[0] / spent[1] - 1) < 0.001


def test_a_network_is_trained_judged_and_kept(here):
    entry = ("fashion-32", "LapFlow, 3 scales", "flops", 0)
    row = multiscale.measured(entry, "tiny")
    assert row["steps"] == 7 and row["options"]["data"] == "fashion-small-32"
    (score,) = row["scores"].values()
    assert score["evaluations"] == 20 and len(score["cost"]) == 2 + 3
    assert {"frechet", "accuracy", "seams", "per_class", "nearest"} <= set(score)
    (seconds,) = row["draw_seconds"].values()
    assert seconds["own"] > 0 and seconds["reference"] > 0
    kept = multiscale.place_of(entry, "tiny").with_suffix(".json")
    written = kept.stat().st_mtime_ns
    assert multiscale.measured(entry, "tiny")["weights"] == row["weights"]
    assert kept.stat().st_mtime_ns == written
    multiscale.write_result("tiny", here)
    assert len(list(here.glob("*-multiscale.json"))) == 1


def test_every_experiment_has_both_budgets(here, capsys):
    multiscale.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * len(multiscale.EXPERIMENTS)
    reference = [e for e in multiscale.entries("families", (0,)) if e[1] == multiscale.REFERENCE]
    assert {budget for _, _, budget, _ in reference} == {"flops"}
    search = multiscale.entries("search", (0, 1))
    assert {entry[2:] for entry in search} == {("flops", multiscale.SEARCH_SEED)}
