"""The queue of the laboratory: no network's row takes the place of another's."""

import sys

import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import laboratory  # noqa: E402
import measuring  # noqa: E402

from hdfm.config import build  # noqa: E402
from hdfm.core import dct, idct  # noqa: E402

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
    assert measuring.equally_smooth(config.make_path((8, 8)), torch.empty(1, 1, 8, 8)) is None


class Wiener(torch.nn.Module):
    """The best linear guess from modes that are independent, as a network."""

    prediction = "x"

    def __init__(self, path, mean, variance):
        super().__init__()
        self.path = path
        self.mean = mean
        self.variance = variance
        self.nothing = torch.nn.Parameter(torch.zeros(()))

    def forward(self, z, t, labels):
        a, s = self.path.clocks(t[0].item(), z)
        gain = a * self.variance / (a**2 * self.variance + s**2)
        return idct(self.mean + gain * (dct(z) - a * self.mean))


def test_few_held_out_images_are_of_all_classes():
    for data in ("digits", laboratory.BASE["photos"].data):  # clothes are not on every machine
        images, labels = measuring.last_held_out(data, 64)
        assert len(images) == 64 and len(labels.unique()) > 5
    test = measuring.held_out("digits")  # in no order, so they are the last
    assert measuring.last_held_out("digits", 64)[0].equal(test.images[-64:])


@pytest.mark.parametrize("data", ["digits", "photos"])  # of one channel and of three
def test_the_residual_of_a_linear_guess_is_the_one_that_is_reported_beside_it(data):
    config = laboratory.config_of(data, "r = 1", "early", 0, 0)
    modes = dct(measuring.last_held_out(config.data, 500)[0])
    mean = modes.mean(0)
    variance = (modes - mean).square().mean((0, 1))
    path = config.make_path(variance.shape)
    found = measuring.residuals(config.data, Wiener(path, mean, variance), path, variance)
    assert found["network"] == pytest.approx(found["linear"], rel=0.02)


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
