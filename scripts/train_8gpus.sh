#!/usr/bin/env bash
# Train on the 8 GPUs (or GPUS=4) of one machine.
#
#   DATA=/data/imagenet OUT=runs/imagenet256 scripts/train_8gpus.sh [options of hdfm train]
#
# PRESET, DRY and how to go on: as in train_1gpu.sh; PRESET=folder, whose batch is 128, needs
# --micro-batch 16. Give --shard for a network whose state does not fit in one GPU, and --workers
# if 12 processes that read pictures for each GPU are too many or too few. To stop it: Ctrl-C or
# kill -TERM to torchrun, which tells all ranks and then waits for them to save (older versions of
# PyTorch wait for 30 seconds, newer ones as long as is said here).
set -euo pipefail
: "${DATA:?say where the pictures are: DATA=FOLDER $0}"
preset=${PRESET:-imagenet256}
if [ "${DRY:-0}" = 1 ]; then set -- "$@" --dry-run; fi
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-300}

exec torchrun --standalone --nproc-per-node "${GPUS:-8}" -m hdfm.train \
    "$preset" --data "$DATA" --out "${OUT:-runs/$preset}" --resume auto --micro-batch 128 "$@"
