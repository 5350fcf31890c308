#!/usr/bin/env bash
# Train on one GPU (or, to try it, on none).
#
#   DATA=/data/imagenet OUT=runs/imagenet256 scripts/train_1gpu.sh [options of hdfm train]
#
# PRESET (imagenet256) may be another; DRY=1 tries everything out on a few images and leaves
# nothing. Call it again to go on from the last checkpoint. A batch is 1024 images, in 8 passes of
# 128: exactly the passes of 8 GPUs, so that the two trainings differ by the order of additions
# only. Give --micro-batch 32 if the memory is not enough. To stop it: Ctrl-C or kill -TERM, once;
# it finishes its step and saves.
set -euo pipefail
: "${DATA:?say where the pictures are: DATA=FOLDER $0}"
preset=${PRESET:-imagenet256}
if [ "${DRY:-0}" = 1 ]; then set -- "$@" --dry-run; fi

exec hdfm train "$preset" --data "$DATA" --out "${OUT:-runs/$preset}" --resume auto \
    --micro-batch 128 "$@"
