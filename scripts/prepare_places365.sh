#!/usr/bin/env bash
# The training set of Places365-Standard (small pictures, 256x256) as hdfm reads it:
# OUT/airfield/*.jpg.
#
#   scripts/prepare_places365.sh places365standard_easyformat.tar OUT
#
# The tar is had from places2.csail.mit.edu. Its part places365_standard/train is unpacked into
# OUT.partial, which is renamed when it is whole. A call that was stopped begins anew; one that
# finds OUT only counts. Needs bash and tar.
set -euo pipefail
if [ $# != 2 ] || [ ! -f "$1" ]; then sed -n '/^set/q;2,$s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
tar=$1 out=${2%/}

if [ ! -d "$out" ]; then
    rm -rf "$out.partial"
    mkdir -p "$out.partial"
    tar -xf "$tar" -C "$out.partial" --strip-components 2 places365_standard/train
    mv "$out.partial" "$out"
fi

cd "$out"
classes=$(find . -type f -name '*.jpg' | sed 's|/[^/]*$||' | sort -u | wc -l)
pictures=$(find . -type f -name '*.jpg' | wc -l)
echo "$out: $((classes)) classes, $((pictures)) pictures"
if [ "$classes" -ne 365 ] || [ "$pictures" -ne 1803460 ]; then
    echo "warning: the training set of Places365-Standard has 365 classes and 1803460 pictures" >&2
fi
