"""Write what the playground of the site is served with: `python tools/playground.py` (needs onnx
and onnxscript, `pip install -e '.[browser]'`).

Its networks are ONNX files. They take `z` [B, 1, H, W], `t` [B] and `label` [B] (whole numbers, the
last for no class) and give `x_hat`, shaped like `z`; path, solvers and guidance are JavaScript. Its
pictures come from the sample of Fashion-MNIST.
"""

import logging
import sys
import warnings
from pathlib import Path

import torch
from PIL import Image

from hdfm.data import load_data
from hdfm.hub import FlowModel
from hdfm.show import as_pixels

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "nbs/playground"
NETWORKS = ("fashion",)  # bundled networks; networks.js has a row for each
PICTURES = {"shirt": 7, "boot": 28, "bag": 30}  # file: number in fashion-small-test
OPSET = 18


def inputs(model, count, seed=0):
    """Noise, times and labels for `count` images, as the network takes them."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, model.channels, *model.path.operator.shape, generator=generator)
    t = torch.linspace(0, 0.95, count)
    label = torch.arange(count) % (model.num_classes + 1)
    return z, t, label


def plain(proto):
    """The model without names of files, traces and versions, so that a new export is the same."""
    proto.producer_name = ""
    proto.producer_version = ""
    proto.doc_string = ""
    graph = proto.graph
    del proto.metadata_props[:]
    del graph.metadata_props[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.doc_string = ""
        del item.metadata_props[:]
    return proto


def export(name):
    """The bundled network of that name as an ONNX model of any number of images."""
    model = FlowModel.from_pretrained(name).eval()
    batch = torch.export.Dim("batch", min=1, max=1024)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model.network,
            inputs(model, 2),
            input_names=["z", "t", "label"],
            output_names=["x_hat"],
            dynamic_shapes=({0: batch}, {0: batch}, {0: batch}),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    return plain(program.model_proto)


def main():
    for name in sys.argv[1:] or NETWORKS:
        path = FOLDER / f"{name}.onnx"
        path.write_bytes(export(name).SerializeToString(deterministic=True))
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.2f} MB")
    clothes = load_data("fashion-small", split="test")
    for name, number in PICTURES.items():
        path = FOLDER / f"{name}.png"
        Image.fromarray(as_pixels(clothes.images[number])[0].numpy()).save(path)
        print(f"{path.relative_to(ROOT)}: {clothes.class_names[clothes.labels[number]]}")


if __name__ == "__main__":
    main()
