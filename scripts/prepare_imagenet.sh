#!/usr/bin/env bash
# The training set of ImageNet as hdfm reads it: a folder for each class, OUT/n01440764/*.JPEG.
#
#   scripts/prepare_imagenet.sh ILSVRC2012_img_train.tar OUT
#
# The tar (148 GB, from image-net.org, after registration) holds a tar for each of 1000 classes.
# They are unpacked straight from it, JOBS (8) at a time; the pictures take about as much room
# again. Stop it whenever you like and call it again: a class is unpacked under a temporary name
# and renamed when it is whole, and whole ones are passed over. CHECK=0 leaves out the MD5 of the
# tar, which takes some minutes. Needs bash, tar, xargs, md5sum.
set -euo pipefail
if [ $# != 2 ] || [ ! -f "$1" ]; then sed -n '/^set/q;2,$s/^# \{0,1\}//p' "$0" >&2; exit 2; fi
export tar=$1 out=$2
mkdir -p "$out"

if [ "${CHECK:-1}" = 1 ]; then
    echo "MD5 of $tar (CHECK=0 leaves it out) ..."
    found=$(md5sum < "$tar" | cut -d' ' -f1)
    if [ "$found" != 1d675b47d978889d74fa0da5fadfb00e ]; then
        echo "error: $tar has the MD5 $found, not 1d675b47d978889d74fa0da5fadfb00e;" \
             "fetch it again, or give CHECK=0 to use it as it is" >&2
        exit 1
    fi
fi

for old in "$out"/.n*.partial.*; do # of a call that was killed: renamed first, so that nothing can finish it by mistake
    if [ -e "$old" ]; then mv "$old" "$old.old"; rm -rf "$old.old"; fi
done

one() { # unpack one class
    set -euo pipefail
    local partial="$out/.$1.partial.$$"
    mkdir "$partial"
    tar -xOf "$tar" "$1.tar" | tar -xf - -C "$partial"
    mv "$partial" "$out/$1"
    echo "$1"
}
export -f one

names=$(tar -tf "$tar" | sed -n 's/^\(n[0-9]\{8\}\)\.tar$/\1/p')
if [ -z "$names" ]; then echo "error: $tar holds no tars of classes (n01440764.tar, ...)" >&2; exit 1; fi
# shellcheck disable=SC2016    # each bash that xargs starts expands it
for name in $names; do
    if [ ! -d "$out/$name" ]; then echo "$name"; fi
done | xargs -P "${JOBS:-8}" -n 1 bash -c 'one "$1"' _

cd "$out"
classes=$(find . -mindepth 1 -maxdepth 1 -type d -name 'n*' | wc -l)
pictures=$(find . -mindepth 2 -maxdepth 2 -type f -path './n*' | wc -l)
echo "$out: $((classes)) classes, $((pictures)) pictures"
if [ "$classes" -ne 1000 ] || [ "$pictures" -ne 1281167 ]; then
    echo "warning: the training set of ImageNet has 1000 classes and 1281167 pictures" >&2
fi
