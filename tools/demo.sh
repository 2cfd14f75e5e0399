#!/bin/sh
# usage: tools/demo.sh PROGRAM FOLDER
# From nothing to judged pictures: see FOLDER/overview.png.
set -eu
rahf=$1
out=$2

rm -rf "$out"
echo "== draw a small world and let three simulated people judge it"
"$rahf" world --count 200 --seed 7 --out "$out/world"
echo "== make their annotations a dataset"
"$rahf" dataset consolidate --annotations "$out/world/annotations.jsonl" \
  --pictures "$out/world/pictures" --out "$out/data.h5"
