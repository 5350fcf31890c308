"""Train the reader of clothes that comes with the package, and write the dated result.

    python benchmarks/classifier.py                   # into hdfm/checkpoints/fashion-classifier

Some four minutes of one core. The same seed on the same machine gives the same weights; another
machine or another PyTorch rounds differently, and gives weights of another hash that read as well.
"""

import datetime
import json
import sys
import time
from pathlib import Path

import torch

from hdfm.classifier import load_classifier, read_classes, save_classifier, train_classifier
from hdfm.data import load_data
from machine import machine

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "hdfm" / "checkpoints" / "fashion-classifier"
EPOCHS = 8


def shares(network, data):
    """{class: share that is read right}, and of all."""
    right = read_classes(network, data.images) == data.labels
    found = {
        name: round(right[data.labels == c].double().mean().item(), 4)
        for c, name in enumerate(data.class_names)
    }
    return found, round(right.double().mean().item(), 4)


def main(folder=FOLDER):
    torch.set_num_threads(1)
    train = load_data("fashion")
    test = load_data("fashion-test")
    start = time.perf_counter()
    network = train_classifier(train, epochs=EPOCHS)
    seconds = round(time.perf_counter() - start)
    per_class, accuracy = shares(network, test)
    about = dict(
        data="fashion",
        epochs=EPOCHS,
        seed=0,
        train_accuracy=shares(network, train)[1],
        test_accuracy=accuracy,
        command="python benchmarks/classifier.py",
        date=datetime.date.today().isoformat(),
    )
    config = save_classifier(folder, network, **about)
    load_classifier(folder)
    size = (Path(folder) / "model.safetensors").stat().st_size
    result = dict(config, per_class=per_class, bytes=size, seconds=seconds, machine=machine())
    out = Path(__file__).parent / "results" / f"{about['date']}-classifier.json"
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
