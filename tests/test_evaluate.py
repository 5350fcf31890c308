"""Evaluation from outside: hostile weights, wrong references, Inception from end to end, two
processes, files of others, pictures that cannot be read."""

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

from hdfm import cli
from hdfm.classifier import BUNDLED_CLASSIFIER, load_classifier
from hdfm.config import TrainConfig
from hdfm.data import as_bytes, load_data
from hdfm.evaluate import evaluate_run
from hdfm.features import (
    FEATURES,
    MEASURES,
    extractor,
    features_of,
    inception_score,
    load_reference,
    reference_statistics,
    register_features,
    register_measure,
    save_reference,
)
from hdfm.parallel import Ranks
from hdfm.report import report_table, yardstick
from hdfm.train import fit

DIGITS = as_bytes(load_data("digits").images)


class Hostile:
    """A pickle that makes a folder when it is opened the plain way."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def patches(every):
    """Some of the patches of photographs: uint8 `[N, 16, 16, 3]`."""
    return as_bytes(load_data("photos-16").images[::every]).permute(0, 2, 3, 1).numpy()


def write_npz(path, images):
    np.savez(path, images=images.permute(0, 2, 3, 1).numpy())
    return path


def write_pictures(folder, pictures, broken=()):
    """A folder of pictures, those numbered in `broken` no pictures at all."""
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        path = folder / f"{i:04d}.png"
        Image.fromarray(picture).save(path)
        if i in broken:
            path.write_bytes(b"no picture")
    return folder


def statistics(data, name, **options):
    return reference_statistics(data, extractor(name), progress=None, **options)


def printed(capsys, *args):
    """What `hdfm evaluate` prints as JSON, as a dict."""
    capsys.readouterr()
    more = [] if args[0] in ("stats", "images") else ["--json"]
    assert cli.main(["evaluate", *map(str, args), *more]) in (0, None)
    return json.loads(capsys.readouterr().out)


def refused(capsys, *args, says):
    """Assert that `hdfm evaluate` refuses in one line that says all of `says`."""
    capsys.readouterr()
    assert cli.main(["evaluate", *map(str, args)]) == 2
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("hdfm: error")]
    assert len(errors) == 1 and all(part in errors[0] for part in says), lines


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory):
    """(file, SHA-256, network) of torch-fidelity's Inception with random weights."""
    package = pytest.importorskip("torch_fidelity")
    module = sys.modules["torch_fidelity.feature_extractor_inceptionv3"]

    class Unloaded(package.FeatureExtractorInceptionV3):
        def load_state_dict(self, *args, **kwargs):
            pass

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(module, "load_state_dict_from_url", lambda *args, **kwargs: {})
        torch.manual_seed(0)
        network = Unloaded("inception-v3-compat", ["2048", "logits_unbiased"])
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), path)
    return path, digest_of(path), network


@pytest.fixture(scope="module")
def of_a_folder(tmp_path_factory):
    """A run of two steps on a hundred pictures in two classes."""
    root = tmp_path_factory.mktemp("folder")
    pictures = patches(60)
    write_pictures(root / "data" / "a", pictures[::2])
    write_pictures(root / "data" / "b", pictures[1::2])
    config = TrainConfig(data=str(root / "data"), image_size=16, steps=2, batch_size=4)
    return fit(config.replace(sample_steps=2), root / "run", device="cpu")


def test_hostile_weights_are_refused_and_run_nothing(capsys, tmp_path):
    bad = tmp_path / "bad.pth"
    mark = tmp_path / "mark"
    command = ["images", "digits", "digits", "--features", "inception", "--weights", bad]
    for new_format in (True, False):
        weights = {"fc.weight": Hostile(mark)}
        torch.save(weights, bad, _use_new_zipfile_serialization=new_format)
        known = digest_of(bad)
        refused(capsys, *command, says=[known, "a source you trust", "--weights-sha256"])
        command_with = [*command, "--weights-sha256"]
        refused(capsys, *command_with, "0" * 64, says=[known, "was not opened"])
        refused(capsys, *command_with, known, says=["more than tensors", "nothing of it was run"])
        assert not mark.exists()
    torch.load(bad, weights_only=False)  # the control: it is hostile
    assert mark.exists()


def test_weights_that_do_not_fit(capsys, tmp_path):
    other = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(3)}, other)
    command = ["images", "digits", "digits"]
    inception = [*command, "--features", "inception"]
    given = ["--weights", other, "--weights-sha256", digest_of(other)]
    refused(capsys, *inception, *given, says=["other.pth does not fit"])
    refused(capsys, *inception, says=["fetch https://", "--weights"])
    refused(capsys, *command, "--weights", "x.pth", says=["'pixels' take no file of weights"])


def test_inception_computes_what_the_network_does(random_inception):
    weights, digest, network = random_inception
    extract = extractor("inception", weights, digest.upper())
    found = features_of(DIGITS[:3], extract, progress=None)
    with torch.no_grad():
        features, logits = network(DIGITS[:3].repeat(1, 3, 1, 1))
    assert torch.equal(found["features"], features) and torch.equal(found["logits"], logits)
    assert found["features"].shape == (3, 2048) and found["features"].std(0).max() > 0


@pytest.mark.long
def test_inception_from_end_to_end(trained, random_inception, tmp_path):
    weights, digest, _ = random_inception
    extract = extractor("inception", weights, digest)
    real = write_npz(tmp_path / "real.npz", DIGITS[:16])
    reference = tmp_path / "real.safetensors"
    save_reference(reference, reference_statistics(real, extract, progress=None))
    given = dict(features="inception", weights=weights, weights_sha256=digest, reference=reference)
    run = evaluate_run(trained, samples=20, sampling=dict(steps=2), device="cpu", **given)
    report = run["features"]
    assert report["reference"]["weights_sha256"] == digest and report["reference"]["n"] == 16
    assert report["frechet"] > 0 and 1 <= report["inception_score"] < 1008
    assert report["inception_score_images"] == 20
    assert "8 rows in a half are too few" in report["real_halves"]["left_out"]
    assert report["kid_subset"] == 8
    assert (report["generated_rows"], report["real_rows"]) == (20, 16)


def test_the_inception_score_of_parts_of_one_image_each():
    pytest.importorskip("torch_fidelity")
    assert abs(inception_score(torch.eye(10) * 100)["inception_score"] - 1) < 1e-6


def test_a_reference_of_something_else_is_refused_before_anything_is_made(
    capsys, trained, tmp_path
):
    before = files(trained)
    digits = tmp_path / "digits"
    save_reference(tmp_path / "photos-16", statistics("photos-16", "modes", keep=20))
    save_reference(digits, statistics("digits", "modes", keep=20))
    with_reference = [trained, "--reference"]
    other_shape = "shape [3, 16, 16] there, [1, 8, 8] here"
    refused(capsys, *with_reference, tmp_path / "photos-16", says=[other_shape])
    other_features = ["features modes there, pixels here", "hdfm evaluate stats"]
    refused(capsys, *with_reference, digits, says=other_features)
    other_file = "is not an hdfm feature statistics"
    refused(capsys, *with_reference, trained / "model.safetensors", says=[other_file])
    data = bytearray(digits.read_bytes())
    data[-2] ^= 1
    digits.write_bytes(data)
    refused(capsys, *with_reference, digits, "--features", "modes", says=["SHA-256"])
    assert files(trained) == before


def test_two_processes_print_what_one_prints(trained, tmp_path):
    reference = tmp_path / "digits"
    save_reference(reference, statistics("digits", "pixels", keep=300))
    options = ["--samples", 4100, "--steps", 1, "--reference", reference, "--device", "cpu"]
    options = [str(option) for option in (*options, "--json")]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc-per-node", "2", "-m", "hdfm.evaluate", str(trained)]
    two = subprocess.run([*launch, *options], capture_output=True, text=True, timeout=200)
    assert two.returncode == 0, two.stderr[-3000:]
    one = hdfm("evaluate", trained, *options)
    assert one.returncode == 0 and two.stdout == one.stdout, one.stderr
    report = json.loads(one.stdout)  # three blocks: the second was made by the second process
    assert report["features"]["generated_images"] == 4100 > 2 * report["protocol"]["block"]
    assert report == json.loads((trained / "evaluation.json").read_text())


def test_statistics_and_files_of_others(capsys, tmp_path):
    stats = tmp_path / "new" / "digits.safetensors"
    half = write_npz(tmp_path / "half.npz", DIGITS[::2])
    found = printed(capsys, "stats", "digits", "--out", stats, "--keep", 100)
    assert (found["n"], found["rows"]) == (1797, 100)
    assert (found["features"], found["shape"]) == ("pixels", [1, 8, 8])
    kept = load_reference(stats)
    assert kept.rows.shape == (100, 64) and found["sha256"] == kept.info["sha256"]
    report = printed(capsys, "images", half, stats, "--features", "pixels")
    direct = printed(capsys, "images", half, "digits", "--features", "pixels")
    assert report["frechet"] == direct["frechet"] and 0 < report["frechet"] < 0.3
    assert report["generated"]["n"] == 899


def test_files_that_do_not_fit(capsys, tmp_path):
    stats = tmp_path / "digits.safetensors"
    half = write_npz(tmp_path / "half.npz", DIGITS[::2])
    save_reference(stats, statistics("digits", "pixels", keep=100))
    refused(capsys, "images", half, stats, says=["features pixels there, modes here"])
    too_large = ["stats", "digits", "--size", 16, "--out", stats]
    refused(capsys, *too_large, says=["8 pixels, not 16"])
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, images=np.array([{}]))
    refused(capsys, "images", pickled, "digits", says=["cannot be read"])


def test_a_folder_with_a_picture_that_cannot_be_read(capsys, tmp_path):
    pictures = patches(200)
    folder = write_pictures(tmp_path / "pictures", pictures, broken=[5])
    clean = tmp_path / "clean.npz"
    np.savez(clean, images=np.delete(pictures, 5, axis=0))
    command = ["images", folder, clean, "--features", "modes"]
    refused(capsys, *command, says=["size in pixels", "--size"])
    report = printed(capsys, *command, "--size", 16)
    assert report["generated"]["n"] == len(pictures) - 1
    assert report["generated"]["unreadable"] == 1 and report["reference"]["unreadable"] == 0
    assert abs(report["frechet"]) < 1e-2


def test_a_folder_of_which_a_whole_block_cannot_be_read(capsys, tmp_path):
    """The first of two pieces has no readable picture; then the only picture left is one."""
    count = 2400
    pictures = np.tile(patches(200), (80, 1, 1, 1))[:count]
    folder = write_pictures(tmp_path / "half", pictures, broken=range(count // 2))
    found = statistics(str(folder), "modes", size=16, batch=200)
    clean = tmp_path / "clean.npz"
    np.savez(clean, images=pictures[count // 2 :])
    alone = statistics(str(clean), "modes")
    assert found.n == alone.n == count // 2 and found.info["unreadable"] == count // 2
    assert torch.allclose(found.mean, alone.mean) and found.rows.shape == alone.rows.shape


def test_a_folder_of_which_nothing_can_be_read(capsys, tmp_path):
    folder = write_pictures(tmp_path / "none", patches(2000), broken=range(3))
    command = ["stats", folder, "--size", 16, "--features", "modes", "--out", tmp_path / "out"]
    refused(capsys, *command, says=["0000.png is bad"])
    with pytest.raises(ValueError, match="no images to take features of"):
        features_of([], extractor("modes"), progress=None)
    assert not (tmp_path / "out").exists()


def test_a_run_of_a_folder(capsys, of_a_folder):
    refused(capsys, of_a_folder, says=["'inception' need the network's weights"])
    options = ["--features", "modes", "--samples", 21, "--device", "cpu"]
    report = printed(capsys, of_a_folder, *options)
    assert set(report) == {"features", "protocol", "model"}
    assert report["features"]["real_images"] == 100
    assert report["protocol"]["labels"] == "in turn; 1 of 2 classes have one image more"
    assert report["features"]["reference"]["shape"] == [3, 16, 16]


def test_fewer_samples_than_a_small_data_set_would_be_read_for(of_a_folder, trained):
    report = evaluate_run(of_a_folder, samples=500, features="modes", device="cpu")
    assert report["features"]["generated_images"] == 500
    assert "accuracy_samples" not in report["protocol"]
    report = evaluate_run(trained, samples=50, device="cpu")
    assert report["protocol"]["accuracy_samples"] == 50


@pytest.mark.parametrize("scale, cost", [(1.0, 4), (2.0, 7), (0.0, 4)])
def test_evaluations_are_counted_in_images(trained, scale, cost):
    """Of four steps all but the first lie in the interval, and are doubled where there are two
    branches to compute."""
    how = dict(steps=4, guidance_scale=scale, guidance_interval=(0.0, 1.0))
    protocol = evaluate_run(trained, samples=30, sampling=how, batch=16, device="cpu")["protocol"]
    assert protocol["evaluations"] == cost
    assert ("guidance_interval" in protocol) == (scale != 1)


@pytest.mark.parametrize("name", ["samples", "steps", "batch"])
def test_zero_is_a_number(trained, name):
    before = files(trained)
    options = dict(sampling=dict(steps=0)) if name == "steps" else {name: 0}
    with pytest.raises(ValueError, match=f"{name}=0: give .*at least"):
        evaluate_run(trained, device="cpu", **options)
    assert files(trained) == before


def test_features_and_a_measure_from_outside(capsys, trained):
    @register_features("brightness")
    def brightness(images):
        return dict(features=images.float().mean((2, 3)))

    @register_measure
    def brighter(generated, real):
        return dict(brighter=float(generated.mean[0] - real.mean[0]))

    try:
        options = ["--features", "brightness", "--samples", 20, "--device", "cpu"]
        report = printed(capsys, trained, *options)["features"]
    finally:
        del FEATURES["brightness"]
        del MEASURES["brighter"]
    assert report["name"] == "brightness" and isinstance(report["brighter"], float)


def test_the_report_names_no_option_without_effect(trained):
    report = evaluate_run(trained, samples=20, sampling=dict(solver="dopri5"), device="cpu")
    assert "steps" not in report["protocol"] and "last_time" not in report["protocol"]
    assert report["model"]["path"] == "heat"
    assert "t_min" not in report["model"]["path_options"]


def test_without_torch_fidelity():
    code = (
        "import sys; sys.modules['torch_fidelity'] = None\n"
        "from hdfm.cli import main\n"
        "assert not main(['evaluate', 'images', 'digits', 'digits'])\n"
        "assert 'torchvision' not in sys.modules\n"
        "inception = ['--features', 'inception', '--weights', 'x']\n"
        "assert main(['evaluate', 'images', 'digits', 'digits', *inception]) == 2"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {"kid", "precision", "recall"} <= set(report) and "left_out" not in report
    assert abs(report["frechet"]) < 1e-6 and report["precision"] == 1
    assert "pip install hdfm[eval]" in done.stderr


@pytest.fixture(scope="module")
def of_clothes(tmp_path_factory):
    config = TrainConfig().replace(
        data="fashion-small", model="JiT-XS/4", steps=3, batch_size=8, warmup=1, sample_steps=2
    )
    return fit(config, tmp_path_factory.mktemp("clothes") / "run", device="cpu")


def test_clothes_are_held_against_images_that_nobody_trained_on(of_clothes):
    report = evaluate_run(of_clothes, samples=40, read_samples=30, device="cpu")
    protocol = report["protocol"]
    assert protocol["data"] == "fashion-small" and protocol["compared_with"] == "fashion-small-test"
    assert protocol["real_images"] == 400 and protocol["accuracy_samples"] == 30
    real = report["real"]
    for found in (report, real):
        assert set(found["per_class"]) == set(load_data("fashion-small").class_names)
        assert set(found["nearest"]) == {"train", "test", "ratio", "share_train"}
        assert {"pixel_frechet", "mode_frechet", "seams", "accuracy"} <= set(found)
    assert real["features"]["frechet"] < 0.2 * report["features"]["frechet"]
    assert real["accuracy"] > 0.85 and 0.9 < real["seams"] < 1.2
    assert len(report_table(report).splitlines()) <= 11
    assert json.loads(json.dumps(report)) == report


def test_a_yardstick_is_kept_for_many_runs(of_clothes, trained):
    clothes = yardstick("fashion-small", (1, 28, 28), Ranks())
    reports = [
        evaluate_run(of_clothes, samples=40, read_samples=30, device="cpu", against=against)
        for against in (None, clothes, clothes)
    ]
    assert reports[0] == reports[1] == reports[2]
    assert clothes.statistics(0) is clothes.statistics(0)
    with pytest.raises(ValueError, match="for fashion-small, and digits is to be judged"):
        evaluate_run(trained, samples=20, device="cpu", against=clothes)


def test_other_features_of_clothes_and_clothes_of_another_size(of_clothes, trained):
    report = evaluate_run(of_clothes, samples=40, features="pixels", device="cpu")
    assert report["features"]["name"] == "pixels" and "accuracy" in report
    with pytest.raises(ValueError, match="grey images of 28×28"):
        evaluate_run(trained, samples=10, features="fashion", device="cpu")


def test_a_damaged_classifier_is_not_used(tmp_path):
    for file in BUNDLED_CLASSIFIER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    damage = bytearray(weights.read_bytes())
    damage[-9] ^= 1
    weights.write_bytes(damage)
    with pytest.raises(ValueError, match="model.safetensors"):
        load_classifier(tmp_path)
