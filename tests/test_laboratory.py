"""The queue of the laboratory: no network's row takes the place of another's."""

import sys

import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import laboratory  # noqa: E402

from hdfm.config import build  # noqa: E402

ENTRIES = {entry for name in laboratory.EXPERIMENTS for entry in laboratory.entries(name, range(3))}


def test_every_network_has_a_row_of_its_own():
    files = [laboratory.row_file(laboratory.place_of(entry)) for entry in ENTRIES]
    assert len({file.name.lower() for file in files}) == len(ENTRIES)
    assert all(file.suffix == ".json" for file in files)


def test_orders_with_a_dot_are_not_taken_for_one_another(tmp_path, monkeypatch):
    monkeypatch.setattr(laboratory, "RUNS", tmp_path)
    entry = ("digits", "order 1.5", "middle", 0, 0)
    file = laboratory.row_file(laboratory.place_of(entry))
    file.parent.mkdir()
    file.write_text('{"likelihood": {}}')
    assert laboratory.done(entry)
    assert not laboratory.done(("digits", "order 1.25", "middle", 0, 0))
    assert not laboratory.done((*entry[:-1], 1))


@pytest.mark.parametrize("data", laboratory.BASE)
def test_every_condition_can_be_built(data):
    shape = dict(digits=(1, 8, 8), fashion=(1, 28, 28), photos=(3, 16, 16))[data]
    for entry in sorted(e for e in ENTRIES if e[0] == data and e[-1] == 0):
        build(laboratory.config_of(*entry), *shape, 10)


def test_a_path_of_levels_has_no_likelihood():
    config = laboratory.config_of("digits", "IHDM", "uniform", 0, 0)
    assert laboratory.equally_smooth(config.make_path((8, 8)), torch.empty(1, 1, 8, 8)) is None


@pytest.mark.parametrize("seeds, times", [(3, "early"), (1, "uniform")])
def test_a_picture_is_of_the_times_that_a_way_is_reported_at(seeds, times, tmp_path, monkeypatch):
    monkeypatch.setattr(laboratory, "RUNS", tmp_path)
    trained = [("fashion", "LapFlow", "early", 0, seed) for seed in range(seeds)]
    monkeypatch.setattr(laboratory, "done", trained.__contains__)
    assert laboratory.drawn_first("fashion", "LapFlow", 0) is None
    for when in ("early", "uniform", "late"):
        place = laboratory.place_of(("fashion", "LapFlow", when, 0, 0))
        place.mkdir(parents=True)
        (place / "model.safetensors").touch()
    shown = laboratory.drawn_first("fashion", "LapFlow", 0)
    assert shown == laboratory.place_of(("fashion", "LapFlow", times, 0, 0))
