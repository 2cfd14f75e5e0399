#!/bin/sh
# usage: tools/make_assets.sh [PROGRAM [FOLDER]]
# Makes the worlds that figures are measured on, teaches relations to the shipped reward on one core,
# and prints how the two compare (docs/results.md). Work goes to FOLDER (default build/assets); a
# call that was stopped goes on where it was. configs/rahf-tiny-multi-head.cfg has all stages, from
# nothing.
set -eu

rahf=${1:-build/rahf}
work=${2:-build/assets}
train_pictures=150000
test_pictures=4000
start=examples/assets/rahf-tiny

mkdir -p "$work"
world() {  # NAME COUNT SEED CONSOLIDATE-OPTIONS...
  name=$1 count=$2 seed=$3
  shift 3
  [ -f "$work/$name.h5" ] && return
  "$rahf" world --count "$count" --seed "$seed" --out "$work/$name"
  "$rahf" dataset consolidate --annotations "$work/$name/annotations.jsonl" \
    --pictures "$work/$name/pictures" --out "$work/$name.h5" "$@"
}
world train "$train_pictures" 1 --dev-share 0.02
world test "$test_pictures" 2 --test-share 1

run="$work/rahf-tiny-relations"
OMP_NUM_THREADS=1 "$rahf" train --config configs/rahf-tiny-relations.cfg --init "$start" \
  --data "$work/train.h5" --out "$run" --threads 1 --resume --note "tools/make_assets.sh"
"$rahf" evaluate --model "$start,$run/model" --data "$work/test.h5" \
  --truth "$work/test/truth.h5" --baselines
