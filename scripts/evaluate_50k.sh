#!/usr/bin/env bash
# FID, KID, precision, recall and Inception score of a run by the field's protocol: 50,000 images,
# 50 steps of Heun.
#
#   GPUS=8 scripts/evaluate_50k.sh RUN REFERENCE --weights FILE --weights-sha256 HEX \
#     [options of hdfm evaluate]
#
# REFERENCE is a file of statistics of the training set, made once by
#   hdfm evaluate stats DATA --size 256 --features inception \
#     --weights FILE --weights-sha256 HEX --out REFERENCE
# and FILE holds the weights of Inception v3 (see nbs/24_features.ipynb). Needs pip install
# hdfm[eval]. The images do not depend on GPUS (1). Prints a table, with --json all of it, and
# leaves the JSON in RUN/evaluation.json.
set -euo pipefail
if [ $# -lt 2 ]; then sed -n '/^set/q;2,$s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
run=$1 reference=$2 gpus=${GPUS:-1}
shift 2

start=(hdfm evaluate)
if [ "$gpus" != 1 ]; then
    start=(torchrun --standalone --nproc-per-node "$gpus" -m hdfm.evaluate)
fi
exec "${start[@]}" "$run" --protocol 50k --features inception --reference "$reference" "$@"
