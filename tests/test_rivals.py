"""Rivals by the command."""

import json

from conftest import TINY, hdfm
from hdfm.baselines import InverseHeat
from hdfm.hub import FlowModel

IHDM = "--path ihdm --levels 4".split()


def test_a_rival_by_the_command(tmp_path):
    tiny = [word for word in TINY if word not in ("--sample-steps",)][:-1]
    done = hdfm("train", "digits", "--out", tmp_path / "run", *tiny, *IHDM)
    assert done.returncode == 0, done.stderr
    done = hdfm("sample", tmp_path / "run", "--out", tmp_path / "a.png", "--count", 4)
    assert done.returncode == 0, done.stderr
    done = hdfm("evaluate", tmp_path / "run", "--samples", 20, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["model"]["path"] == "ihdm", done.stderr
    done = hdfm("export", tmp_path / "run", "--out", tmp_path / "model")
    assert done.returncode == 0, done.stderr
    exported = FlowModel.from_pretrained(tmp_path / "model")
    assert type(exported.path) is InverseHeat and exported.path.levels == 4
    assert exported.sample(count=3).isfinite().all()


def test_a_rival_trained_in_a_way_it_cannot_be_is_refused_before_anything_is_made(tmp_path):
    def refused(*options, says):
        done = hdfm("train", "digits", "--out", tmp_path / "run", *options)
        assert done.returncode == 2 and says in done.stderr, done.stderr
        assert not (tmp_path / "run").exists()

    refused("--path", "ihdm", "--prediction", "x", says="prediction=v")
    refused(*IHDM, "--sample-steps", "5", says="sample_steps=4")
    refused(*IHDM, "--solver", "heun", says="solver=heun")
    refused("--path", "lapflow", "--blur-strength", "7", says="no option blur_strength")
    refused("--prediction", "v", "--solver", "exponential_2m", says="solver=exponential_2m")
