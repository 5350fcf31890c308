#!/usr/bin/env bash
# Train on several machines that have no scheduler: the same line on each of them, HEAD being the
# name of one of them.
#
#   NODES=4 HEAD=machine0 DATA=/data/imagenet OUT=/shared/runs/imagenet256 \
#     scripts/train_nodes.sh [options of hdfm train]
#
# OUT is on a file system that all of them share; DATA may be a copy on each. GPUS (8) is for one
# machine, PORT (29500) must be open on HEAD. They find and number each other (torchrun's c10d
# rendezvous). A rank's share of the 1024 images is one pass, unless --micro-batch says less, so
# GPUS x NODES must divide 1024. PRESET, DRY: as in train_1gpu.sh. To stop it: kill -TERM to
# torchrun on any of the machines; all ranks save after the same step.
set -euo pipefail
: "${DATA:?say where the pictures are: DATA=FOLDER $0}"
: "${NODES:?say how many machines: NODES=4 $0}"
: "${HEAD:?name the machine at which they meet: HEAD=machine0 $0}"
preset=${PRESET:-imagenet256}
if [ "${DRY:-0}" = 1 ]; then set -- "$@" --dry-run; fi
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-300}

exec torchrun --nnodes "$NODES" --nproc-per-node "${GPUS:-8}" \
    --rdzv-backend c10d --rdzv-endpoint "$HEAD:${PORT:-29500}" --rdzv-id "${RUN_ID:-hdfm}" \
    -m hdfm.train \
    "$preset" --data "$DATA" --out "${OUT:-runs/$preset}" --resume auto "$@"
