#!/bin/sh
# usage: tools/demo.sh [PROGRAM [FOLDER]]
# From nothing to judged pictures, in FOLDER (default demo): draws a small world and what people say
# about it, lets the shipped reward learn from that for a minute, measures it on prompts that it did
# not learn from, and shows what it says of some pictures. About two minutes on two cores.
set -eu

rahf=${1:-build/rahf}
demo=${2:-demo}
shipped=examples/assets/rahf-tiny

# Threads inside one operation do not pay for a model this small; training uses both cores otherwise.
run() { "$rahf" "$@" --threads 1; }

began=$(date +%s)
phase_began=$began
phase() {
  now=$(date +%s)
  [ -z "${name-}" ] || echo "   ($((now - phase_began)) s)"
  phase_began=$now
  name=$1
  [ -z "$name" ] || printf '\n== demo: %s\n' "$name"
}

rm -rf "$demo/world" "$demo/data.h5" "$demo/run" "$demo/predictions" "$demo/overview.png" \
  "$demo/diffusion-tiny" "$demo/muse-tiny"
mkdir -p "$demo"

phase "draw 2000 pictures, and have three people each say what is wrong with them"
run world --count 2000 --seed 7 --out "$demo/world"

phase "consolidate their annotations into a dataset"
run dataset consolidate --annotations "$demo/world/annotations.jsonl" \
  --pictures "$demo/world/pictures" --test-share 0.15 --out "$demo/data.h5"

phase "let the shipped reward learn from them for a minute"
run train --config configs/demo.cfg --init "$shipped" --data "$demo/data.h5" --out "$demo/run"

phase "measure it before and after, on held-out prompts"
run evaluate --model "$shipped,$demo/run/model" --data "$demo/data.h5" --split test \
  --truth "$demo/world/truth.h5"

phase "sample the tiny generators, and let the reward judge what they made"
samples=
for generator in diffusion-tiny muse-tiny; do
  [ -d "examples/assets/$generator" ] || continue
  run generate --generator "examples/assets/$generator" --prompts configs/prompts/easy-held-out.txt \
    --seed 7 --steps 12 --guidance 1.5 --stochasticity 1 --out "$demo/$generator"
  run predict --model "$demo/run/model" --prompts "$demo/$generator/prompts.csv" \
    --out "$demo/$generator/judged" --quiet >/dev/null
  samples=$samples,$demo/$generator/prompts.csv
done

phase "judge held-out pictures, beside what people said, and some of the generators'"
pictures=$(run overview --json --model "$demo/run/model" --data "$demo/data.h5" --split test \
  --samples "${samples#,}" --out "$demo/overview.png" |
  grep -o '[0-9][0-9]*\.png' | sed "s|^|$demo/world/pictures/|")
{
  echo file,prompt
  sed -n 's|^{"image":"\([^"]*\)","prompt":"\([^"]*\)".*|pictures/\1,"\2"|p' \
    "$demo/world/annotations.jsonl" | uniq
} >"$demo/world/prompts.csv"
# shellcheck disable=SC2086  # a list of names without blanks
run predict --model "$demo/run/model" $pictures --prompts "$demo/world/prompts.csv" \
  --out "$demo/predictions"

phase ""
printf '\n== demo: done in %s s\n' $(($(date +%s) - began))
echo "   $demo/overview.png            pictures, struck words, both heatmaps and scores, beside the truth"
echo "   $demo/*-tiny/grid.png           what the generators made; judged/ holds each with its heatmaps"
echo "   $demo/predictions/*.overlay.png  one picture each; all numbers in predictions.json and .csv"
echo "   tensorboard --logdir $demo/run   the minute of training"
