"""The measurements that are made on a GPU, tried at toy size on this machine."""
import json

import pytest
from conftest import ROOT
from processes import finished

COMMAND = [ROOT / "benchmarks" / "gpu.py", "--tiny", "--device", "cpu", "--folder"]


def run(folder, *parts):
    done = finished(*COMMAND, folder, *parts, timeout=400, cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return {part: json.loads((folder / f"{part}-tiny-result.json").read_text()) for part in parts}


def test_answers_agree(tmp_path):
    entries = run(tmp_path, "agree")["agree"]["entries"]
    assert entries.pop("resumed run equal to the bit") is True
    for key, gaps in entries.items():
        limit = 5e-2 if "bf" in key else 1e-4
        gaps = gaps if isinstance(gaps, list) else [gaps]
        assert gaps and all(gap < limit for gap in gaps), (key, gaps)


@pytest.mark.long
def test_every_figure_is_measured_and_named(tmp_path):
    found = run(tmp_path, "bandwidth", "training", "sampling", "clothes")
    for result in found.values():
        assert {"date", "command", "machine", "seconds", "entries"} <= set(result)
    bandwidth, training, sampling, clothes = (found[part]["entries"] for part in found)
    assert all(0 < entry["blur_share"] for entry in bandwidth.values())
    assert all(entry["images_per_second"] > 0 for entry in training.values())
    assert {"r = 1, batch 8, turn 0", "r = 0, batch 8, turn 0"} <= set(training)
    assert sampling["heun, fp32, guidance 2.9"]["evaluations"] > 3
    report = clothes["r = 0"]["seed 0, 2 steps"]
    assert report["real"]["accuracy"] > 0.8 and len(report["per_class"]) == 10


def test_an_interrupted_part_goes_on(tmp_path):
    first = run(tmp_path, "bandwidth")["bandwidth"]["entries"]
    file = tmp_path / "bandwidth-tiny.json"
    kept = json.loads(file.read_text())
    key = next(iter(kept))
    del kept[key]
    file.write_text(json.dumps(kept))
    again = run(tmp_path, "bandwidth")["bandwidth"]["entries"]
    assert again.keys() == first.keys() and all(again[k] == first[k] for k in kept)
