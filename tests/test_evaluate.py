"""Evaluation from outside: hostile weights, wrong references, Inception from end to end, two processes, files of others."""
import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import files, hdfm
from PIL import Image

from hdfm.data import load_data
from hdfm.evaluate import (as_bytes, evaluate_run, extractor, features_of, inception_score, load_reference, main,
                           reference_statistics, save_reference)
from hdfm.train import TrainConfig, fit

DIGITS = as_bytes(load_data("digits").images)


class Hostile:
    """A pickle that makes a folder when it is opened the plain way."""
    def __init__(self, mark): self.mark = mark
    def __reduce__(self): return os.mkdir, (str(self.mark),)


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_npz(path, images):
    np.savez(path, images=images.permute(0, 2, 3, 1).numpy())
    return path


def printed(capsys, *args):
    assert main([str(arg) for arg in args]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *args, says):
    capsys.readouterr()
    assert main([str(arg) for arg in args]) == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("hdfm: error")]
    assert len(errors) == 1 and all(part in errors[0] for part in says), lines


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory):
    """(file, SHA-256, network) of torch-fidelity's Inception with random weights."""
    package = pytest.importorskip("torch_fidelity")
    module = sys.modules["torch_fidelity.feature_extractor_inceptionv3"]

    class Unloaded(package.FeatureExtractorInceptionV3):
        def load_state_dict(self, *args, **kwargs): pass

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(module, "load_state_dict_from_url", lambda *args, **kwargs: {})
        torch.manual_seed(0)
        network = Unloaded("inception-v3-compat", ["2048", "logits_unbiased"])
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path, digest_of(path), network


def test_hostile_weights_are_refused_and_run_nothing(capsys, tmp_path):
    bad, mark = tmp_path / "bad.pth", tmp_path / "mark"
    for new_format in (True, False):
        torch.save({"fc.weight": Hostile(mark)}, bad, _use_new_zipfile_serialization=new_format)
        command = ["images", "digits", "digits", "--features", "inception", "--weights", bad]
        refused(capsys, *command, says=[digest_of(bad), "a source you trust", "--weights-sha256"])
        refused(capsys, *command, "--weights-sha256", "0" * 64, says=[digest_of(bad), "was not opened"])
        refused(capsys, *command, "--weights-sha256", digest_of(bad), says=["more than tensors", "nothing of it was run"])
        assert not mark.exists()
    torch.load(bad, weights_only=False)  # the control: it is hostile
    assert mark.exists()


def test_weights_that_do_not_fit(capsys, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    command = ["images", "digits", "digits", "--features", "inception", "--weights", tmp_path / "other.pth"]
    refused(capsys, *command, "--weights-sha256", digest_of(tmp_path / "other.pth"), says=["other.pth does not fit"])
    refused(capsys, "images", "digits", "digits", "--features", "inception", says=["fetch https://", "--weights"])
    refused(capsys, "images", "digits", "digits", "--weights", "x.pth", says=["'pixels' take no file of weights"])


def test_inception_from_end_to_end(trained, random_inception, tmp_path):
    weights, digest, network = random_inception
    extract = extractor("inception", weights, digest.upper())
    real = write_npz(tmp_path / "real.npz", DIGITS[:16])
    found = features_of(DIGITS[:3], extract, progress=None)
    with torch.no_grad(): direct = network(DIGITS[:3].repeat(1, 3, 1, 1))
    assert torch.equal(found["features"], direct[0]) and torch.equal(found["logits"], direct[1])
    assert found["features"].shape == (3, 2048) and found["features"].std(0).max() > 0
    save_reference(tmp_path / "real.safetensors", reference_statistics(real, extract, progress=None))
    options = dict(features="inception", weights=weights, weights_sha256=digest, reference=tmp_path / "real.safetensors")
    report = evaluate_run(trained, samples=20, read_samples=20, steps=2, device="cpu", **options)["features"]
    assert report["reference"]["weights_sha256"] == digest and report["reference"]["n"] == 16
    assert report["frechet"] > 0 and 1 <= report["inception_score"] < 1008 and report["inception_score_images"] == 20
    assert "8 rows in a half are too few" in report["real_halves"]["left_out"]
    assert report["kid_subset"] == 8 and report["generated_rows"] == 20 and report["real_rows"] == 16
    assert abs(inception_score(torch.eye(10) * 100)["inception_score"] - 1) < 1e-6          # parts of one image each


def test_a_reference_of_something_else_is_refused_before_anything_is_made(capsys, trained, tmp_path):
    before = files(trained)
    for name, data in (("photos-16", "photos-16"), ("digits", "digits")):
        save_reference(tmp_path / name, reference_statistics(data, extractor("modes"), keep=20, progress=None))
    refused(capsys, trained, "--reference", tmp_path / "photos-16", says=["shape [3, 16, 16] there, [1, 8, 8] here"])
    refused(capsys, trained, "--reference", tmp_path / "digits", says=["features modes there, pixels here", "hdfm evaluate stats"])
    refused(capsys, trained, "--reference", trained / "model.safetensors", says=["is not an hdfm feature statistics"])
    data = (tmp_path / "digits").read_bytes()
    (tmp_path / "digits").write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
    refused(capsys, trained, "--reference", tmp_path / "digits", "--features", "modes", says=["SHA-256"])
    assert files(trained) == before


def test_two_processes_print_what_one_prints(trained, tmp_path):
    save_reference(tmp_path / "digits", reference_statistics("digits", extractor("pixels"), keep=300, progress=None))
    options = [str(x) for x in ("--samples", 4100, "--steps", 1, "--reference", tmp_path / "digits", "--device", "cpu")]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "hdfm.evaluate"]
    two = subprocess.run([*launch, str(trained), *options], capture_output=True, text=True, timeout=200)
    assert two.returncode == 0, two.stderr[-3000:]
    one = hdfm("evaluate", trained, *options)
    assert one.returncode == 0 and two.stdout == one.stdout, one.stderr
    report = json.loads(one.stdout)                                # three blocks: the second was made by the second process
    assert report["features"]["generated_images"] == 4100 > 2 * report["protocol"]["block"]
    assert report == json.loads((trained / "evaluation.json").read_text())


def test_statistics_and_files_of_others(capsys, tmp_path):
    stats, half = tmp_path / "new" / "digits.safetensors", write_npz(tmp_path / "half.npz", DIGITS[::2])
    summary = printed(capsys, "stats", "digits", "--out", stats, "--keep", 100)
    assert (summary["n"], summary["rows"], summary["features"], summary["shape"]) == (1797, 100, "pixels", [1, 8, 8])
    assert load_reference(stats).rows.shape == (100, 64) and summary["sha256"] == load_reference(stats).info["sha256"]
    report = printed(capsys, "images", half, stats, "--features", "pixels")
    direct = printed(capsys, "images", half, "digits", "--features", "pixels")
    assert report["frechet"] == direct["frechet"] and 0 < report["frechet"] < 0.3 and report["generated"]["n"] == 899
    refused(capsys, "images", half, stats, says=["features pixels there, modes here"])
    refused(capsys, "stats", "digits", "--size", 16, "--out", stats, says=["8 pixels, not 16"])
    np.savez(tmp_path / "pickled.npz", images=np.array([{}]))
    refused(capsys, "images", tmp_path / "pickled.npz", "digits", says=["cannot be read"])


def test_a_folder_with_a_picture_that_cannot_be_read(capsys, tmp_path):
    patches = as_bytes(load_data("photos-16").images[::200]).permute(0, 2, 3, 1).numpy()
    folder, clean = tmp_path / "pictures", tmp_path / "clean.npz"
    folder.mkdir()
    for i, patch in enumerate(patches): Image.fromarray(patch).save(folder / f"{i:02d}.png")
    np.savez(clean, images=np.delete(patches, 5, axis=0))
    (folder / "05.png").write_bytes(b"no picture")
    refused(capsys, "images", folder, clean, "--features", "modes", says=["give the size", "--size"])
    report = printed(capsys, "images", folder, clean, "--features", "modes", "--size", 16)
    assert report["generated"]["n"] == len(patches) - 1 and report["generated"]["unreadable"] == 1
    assert abs(report["frechet"]) < 1e-2 and report["reference"]["unreadable"] == 0


def test_a_run_of_a_folder(capsys, tmp_path):
    patches = as_bytes(load_data("photos-16").images[::60]).permute(0, 2, 3, 1).numpy()
    for i, patch in enumerate(patches):
        (tmp_path / "data" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(patch).save(tmp_path / "data" / "ab"[i % 2] / f"{i}.png")
    config = TrainConfig(data=str(tmp_path / "data"), image_size=16, steps=2, batch_size=4, sample_steps=2)
    run = fit(config, tmp_path / "run", device="cpu")
    refused(capsys, run, says=["'inception' need the network's weights"])
    report = printed(capsys, run, "--features", "modes", "--samples", 21, "--device", "cpu")
    assert set(report) == {"features", "protocol", "model"} and report["features"]["real_images"] == len(patches)
    assert report["protocol"]["labels"] == "in turn; 1 of 2 classes have one image more"
    assert report["features"]["reference"]["shape"] == [3, 16, 16]


def test_without_torch_fidelity():
    code = ("import sys; sys.modules['torch_fidelity'] = None\n"
            "from hdfm.evaluate import main\n"
            "assert main(['images', 'digits', 'digits']) == 0 and 'torchvision' not in sys.modules\n"
            "assert main(['images', 'digits', 'digits', '--features', 'inception', '--weights', 'x']) == 2")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert "pip install hdfm[eval]" in report["left_out"] and "kid" not in report and abs(report["frechet"]) < 1e-6
    assert "pip install hdfm[eval]" in done.stderr
