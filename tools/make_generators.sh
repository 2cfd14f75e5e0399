#!/bin/sh
# usage: tools/make_generators.sh [PROGRAM [FOLDER]]
# Trains the tiny generators that examples/assets keeps, one after the other on one core: the
# autoencoder of both, the latent diffusion model, the Muse. Work goes to FOLDER (default
# build/assets); a call that was stopped goes on where it was.
set -eu

rahf=${1:-build/rahf}
work=${2:-build/assets}
commit=$(git rev-parse --short HEAD 2>/dev/null || echo "no commit")
export OMP_NUM_THREADS=1

pretrain() {  # NAME OPTIONS...
  name=$1
  shift
  "$rahf" pretrain --config "configs/$name.cfg" --out "$work/$name" --threads 1 --resume \
    --note "tools/make_generators.sh at $commit" "$@"
}
mkdir -p "$work" examples/assets
pretrain vq-tiny
for name in diffusion-tiny muse-tiny; do
  pretrain "$name" --autoencoder "$work/vq-tiny/model"
  rm -rf "examples/assets/$name"
  cp -r "$work/$name/model" "examples/assets/$name"
done
