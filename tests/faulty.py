"""`hdfm train` with something going wrong on purpose: python tests/faulty.py WHAT [its arguments].

WHAT is `none`, `nan:RANK:STEP` (the loss of that rank at that step, from 1, is NaN), or `forget`
(noise and times are drawn by the number of steps since the process began, as by a trainer that
does not restore its random state). Each rank leaves `RUN/rank-R.txt`: the steps it has updated its
weights for, and the SHA-256 of its weights at the end.
"""
import hashlib
import os
import sys
from pathlib import Path

import hdfm.train as train
from hdfm.cli import main
from hdfm.data import Purpose

what, *arguments = sys.argv[1:]
rank = int(os.environ.get("RANK", 0))
out = Path(arguments[arguments.index("--out") + 1])
derived_seed = train.derived_seed
train_step = train.train_step
update = train.update
updated = []
kept = {}


def digest(model):
    weights = (p.detach().numpy().tobytes() for p in model.parameters())
    return hashlib.sha256(b"".join(weights)).hexdigest()


def faulty_step(config, training, parts, order, step, ranks):
    kept["model"] = training.model
    loss, norm = train_step(config, training, parts, order, step, ranks)
    return (loss * float("nan") if what == f"nan:{ranks.rank}:{step + 1}" else loss), norm


def noted_update(config, training, norm, step):
    update(config, training, norm, step)
    updated.append(step + 1)


def forgetful_seed(seed, step, purpose, *more):
    if purpose == Purpose.NOISE:
        step -= kept.setdefault("began", step)
    return derived_seed(seed, step, purpose, *more)


train.train_step = faulty_step
train.update = noted_update
if what == "forget":
    train.derived_seed = forgetful_seed
status = main(["train", *arguments])
steps = f"{updated[0]} {updated[-1]}" if updated else "0 0"
(out / f"rank-{rank}.txt").write_text(f"{steps} {digest(kept['model'])}")
sys.exit(status)
