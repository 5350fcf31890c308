"""Files of latents that are not what they should be, and a machine without diffusers."""
import sys

import pytest
import torch

from hdfm.checkpoint import CheckpointError, save_tensors
from hdfm.folders import open_images
from hdfm.latents import FILE, encode, open_autoencoder
from hdfm.show import image_grid

ABOUT = dict(num_classes=2, class_names=["a", "b"], reach=2.0, autoencoder="somewhere")


def written(folder, images=None, about=ABOUT, **tensors):
    """A folder of latents, with what is given."""
    images = torch.linspace(-1, 1, 3 * 4 * 8 * 8).view(3, 4, 8, 8) if images is None else images
    tensors = dict(labels=torch.tensor([0, 1, 1])) | tensors
    save_tensors(folder / FILE, dict(images=images, **tensors), "latents", **about)
    return f"latents:{folder}"


def test_latents_are_images_of_four_channels(tmp_path):
    found = open_images(written(tmp_path))
    assert found.shape == (4, 8, 8) and found.class_names == ("a", "b") and len(found) == 3
    assert image_grid(found.images).shape[-1] == 3


WRONG = {
    "bits": (lambda folder: written(folder), CheckpointError, "damaged"),
    "beyond 1": (lambda f: written(f, torch.full((3, 4, 8, 8), 2.0)), ValueError, "pixels reach 2"),
    "few labels": (lambda f: written(f, labels=torch.tensor([0])), ValueError, "with N at least 1"),
    "no word": (lambda folder: written(folder, about={}), CheckpointError, "encode again"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_refused_in_one_line(name, tmp_path):
    write, error, words = WRONG[name]
    place = write(tmp_path)
    if name == "bits":
        body = bytearray((tmp_path / FILE).read_bytes())
        body[-1] ^= 1
        (tmp_path / FILE).write_bytes(body)
    with pytest.raises(error, match=words) as said:
        open_images(place)
    assert "\n" not in str(said.value)


def test_no_diffusers_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ValueError, match=r"pip install 'hdfm\[latents\]'"):
        open_autoencoder("somewhere")
    with pytest.raises(ValueError, match="diffusers"):
        encode("digits", "somewhere", tmp_path / "new")
    assert not (tmp_path / "new").exists()
