"""Write what the playground of the site is served with: `python tools/playground.py` (needs onnx
and onnxscript, `pip install -e '.[onnx]'`).

Its networks are ONNX files of `hdfm export`. They take `z` [B, 1, H, W], `t` [B] and `label` [B]
(whole numbers, the last for no class) and give `x_hat`, shaped like `z`; path, solvers and guidance
are JavaScript. Its pictures come from the sample of Fashion-MNIST.
"""

import sys
from pathlib import Path

from PIL import Image

from hdfm.data import load_data
from hdfm.onnx import export_onnx
from hdfm.show import as_pixels

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "nbs/playground"
NETWORKS = ("fashion",)  # bundled networks; networks.js has a row for each
PICTURES = {"shirt": 7, "boot": 28, "bag": 30}  # file: number in fashion-small-test


def main():
    for name in sys.argv[1:] or NETWORKS:
        path = FOLDER / f"{name}.onnx"
        export_onnx(name, path)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.2f} MB")
    clothes = load_data("fashion-small", split="test")
    for name, number in PICTURES.items():
        path = FOLDER / f"{name}.png"
        Image.fromarray(as_pixels(clothes.images[number])[0].numpy()).save(path)
        print(f"{path.relative_to(ROOT)}: {clothes.class_names[clothes.labels[number]]}")


if __name__ == "__main__":
    main()
