"""`hdfm train` with something going wrong on purpose: python tests/faulty.py WHAT [its arguments].

WHAT is `none`, `nan:RANK:STEP` (the loss of that rank at that step, from 1, is NaN), `forget`
(noise and times are drawn by the number of steps since the process began, as by a trainer that
does not restore its random state), `slow` (each part of a checkpoint takes half a second more) or
`disk:RANK:STEP` (that rank finds no room for its part of that checkpoint). Each rank leaves
`RUN/rank-R.txt`: the steps it has updated its weights for, and the SHA-256 of its weights at the
end.
"""
import errno
import hashlib
import os
import sys
import time
from pathlib import Path

import hdfm.spread as spread
import hdfm.train as train
from hdfm.cli import main
from hdfm.data import Purpose

what, *arguments = sys.argv[1:]
rank = int(os.environ.get("RANK", 0))
out = Path(arguments[arguments.index("--out") + 1])
derived_seed = train.derived_seed
train_step = train.train_step
update = train.update
write_tensors = spread.write_tensors
updated = []
kept = {}


def digest(model):
    weights = (spread.local_of(p.detach()).numpy().tobytes() for p in model.parameters())
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


def faulty_part(path, *args):
    told = write_tensors(path, *args)
    if what == "slow":
        time.sleep(0.5)
    if what == f"disk:{rank}:{int(path.parent.name.split('-')[1].split('.')[0])}":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return told


spread.write_tensors = faulty_part
train.train_step = faulty_step
train.update = noted_update
if what == "forget":
    train.derived_seed = forgetful_seed
status = main(["train", *arguments])
steps = f"{updated[0]} {updated[-1]}" if updated else "0 0"
(out / f"rank-{rank}.txt").write_text(f"{steps} {digest(kept['model'])}")
sys.exit(status)
