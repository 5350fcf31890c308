"""Deblurring the held-out photograph by three small networks trained on patches of the other six.

    make benchmark-restoration                        # or: python benchmarks/restoration.py

Half an hour on two cores; finished seeds are kept under runs/benchmark-restoration, and one can
be named: `python benchmarks/restoration.py 2`. Seed 0 is the bundled checkpoint "patches".
"""

import copy
import datetime
import json
import math
import sys
from pathlib import Path

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from hdfm.core import HeatOperator, dct
from hdfm.checkpoint import load_tensors, save_tensors
from hdfm.data import Purpose, batch_indices, derived_seed, load_data, photographs
from hdfm.exact import GaussianPosterior
from hdfm.hub import FlowModel
from hdfm.objective import training_loss
from hdfm.restore import matched_time, psnr, restore
from hdfm.state import restore_state, state_tensors
from hdfm.times import UniformTime
from hdfm.vit import MODELS
from machine import machine

SEEDS = (0, 1, 2)
FOLDER = Path("runs/benchmark-restoration")
STEPS = 1500
BATCH = 64
RATE = 2e-3
NETWORK = dict(
    MODELS["JiT-XS/4"], image_size=32, channels=3, num_classes=0, bottleneck=48, linear=True
)
PATH = dict(kind="heat", shape=[32, 32], blur_strength=8.0, noise_scale=0.3)


def train(seed):
    """The averaged network of that seed; the loss is the error of x̂, times are uniform."""
    folder = FOLDER / f"seed{seed}"
    if (folder / "config.json").exists():
        return FlowModel.from_pretrained(folder)
    torch.manual_seed(seed)
    patches = load_data("photos-32").images
    model = FlowModel(NETWORK, PATH)
    modes = dct(patches)
    model.network.mean.copy_(modes.mean((0, 1)))
    model.network.variance.copy_(modes.var((0, 1)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.0)
    ema = AveragedModel(model.network, multi_avg_fn=get_ema_multi_avg_fn(0.998))
    labels = torch.zeros(BATCH, dtype=torch.long)
    state = FOLDER / f"seed{seed}.state"
    done = 0
    if state.exists():
        tensors, info = load_tensors(state, "training state")
        restore_state(tensors, model.network, [ema], optimizer, info["step"])
        done = info["step"]
    for step in tqdm(range(done, STEPS), initial=done, total=STEPS, desc=f"restorer, seed {seed}"):
        rate = RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = training_loss(
            model.network,
            model.path,
            patches[batch_indices(step, BATCH, len(patches), seed)],
            labels,
            loss="x",
            times=UniformTime(),
            generator=torch.Generator().manual_seed(derived_seed(seed, step, Purpose.NOISE)),
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema.update_parameters(model.network)
        if (step + 1) % 250 == 0:
            save_tensors(
                state,
                state_tensors(model.network, [ema], optimizer),
                "training state",
                step=step + 1,
            )
    model.network.load_state_dict(copy.deepcopy(ema.module.state_dict()))
    model.save_pretrained(folder)
    return model.eval()


def measure(model, seed):
    """PSNR on the held-out cat, by blur: as it is, by the best linear answer, and by the network
    in three ways."""
    cat = torch.from_numpy(photographs()["cat"].copy())[20:212, 100:324]
    cat = cat.permute(2, 0, 1)[None] / 127.5 - 1
    table = {}
    linear = GaussianPosterior(model.network.mean, model.network.variance, model.path)

    def score(blurred, b, predict=None, **options):
        generator = torch.Generator().manual_seed(seed)
        predict = predict or model.predictor()
        return psnr(restore(predict, model.path, blurred, b, generator=generator, **options), cat)

    for b in (0.5, 1.0, 2.0, 3.0):
        y = HeatOperator(cat.shape[-2:])(cat.double(), math.exp(-(b**2) / 2)).float()
        table[b] = dict(
            t=matched_time(model.path, b),
            blurred=psnr(y, cat),
            linear_8_draws=score(y, b, linear, draws=8),
            one_step=score(y, b),
            eight_draws=score(y, b, draws=8),
            ten_steps=score(y, b, steps=10),
        )
    return table


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) == 2:
        return train(int(sys.argv[1]))
    reports = {seed: measure(train(seed), seed) for seed in SEEDS}
    result = dict(
        date=str(datetime.date.today()),
        command="python benchmarks/restoration.py",
        machine=machine(),
        network=NETWORK,
        path=PATH,
        steps=STEPS,
        batch=BATCH,
        psnr=reports,
    )
    path = Path(__file__).parent / "results" / f"{result['date']}-restoration.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(reports, indent=1), f"saved {path}", sep="\n")


if __name__ == "__main__":
    main()
