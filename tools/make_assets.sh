#!/bin/sh
# usage: tools/make_assets.sh [PROGRAM [FOLDER]]
# Trains the models that examples/assets keeps: the closed world's RAHF in both variants, one core
# each, side by side. Work goes to FOLDER (default build/assets); a call that was stopped goes on
# where it was. 75 to 90 minutes on two cores.
set -eu

rahf=${1:-build/rahf}
work=${2:-build/assets}
train_pictures=150000
test_pictures=4000
commit=$(git rev-parse --short HEAD 2>/dev/null || echo "no commit")

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

train() {  # CONFIG
  OMP_NUM_THREADS=1 "$rahf" train --config "configs/$1.cfg" --data "$work/train.h5" \
    --out "$work/$1" --threads 1 --note "tools/make_assets.sh at $commit" --resume >"$work/$1.log" 2>&1
}
train rahf-tiny-multi-head &
first=$!
train rahf-tiny-augmented-prompt &
second=$!
echo "training; follow with: tail -f $work/rahf-tiny-*.log"
status=0
wait $first || status=$?
wait $second || status=$?
if [ $status -ne 0 ]; then
  tail -n 3 "$work"/rahf-tiny-*.log >&2
  exit $status
fi

mkdir -p examples/assets
rm -rf examples/assets/rahf-tiny examples/assets/rahf-tiny-augmented-prompt
cp -r "$work/rahf-tiny-multi-head/model" examples/assets/rahf-tiny
cp -r "$work/rahf-tiny-augmented-prompt/model" examples/assets/rahf-tiny-augmented-prompt
"$rahf" evaluate --model examples/assets/rahf-tiny,examples/assets/rahf-tiny-augmented-prompt \
  --data "$work/test.h5" --truth "$work/test/truth.h5" --baselines
