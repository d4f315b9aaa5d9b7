#!/usr/bin/env bash
# Pictures: from a folder per class to a model.onnx that takes any picture, on scikit-learn's handwritten digits.
# Needs what demo.sh needs; offline once installed. Results are left in out/demo_images/.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
. "$ROOT/scripts/environment.sh"

install_modelgpt ""
cd "$ROOT"
export PATH="$VENV/bin:$PATH"
OUT=out/demo_images

say "150 pictures of digits to build from, 150 held out"
python scripts/sample_images.py $OUT --examples 15 --held-out 15

say "The requirement, from a look at the pictures"
run modelgpt describe $OUT/examples --offline --description "digits written by hand" -o $OUT/requirement.txt --force
head -1 $OUT/requirement.txt

say "The model"
run modelgpt build --req $OUT/requirement.txt -o $OUT/model.onnx --force
run modelgpt evaluate $OUT/model.onnx $OUT/held_out

say "A quarter of the size, and faster: 8-bit integers"
run modelgpt export $OUT/model.onnx --quantize int8 --data $OUT/examples -o $OUT/small.onnx --force
run modelgpt predict $OUT/small.onnx "$OUT/held_out/7/*.png" --topk 2 -o $OUT/predictions.csv --force
sed -n 1,4p $OUT/predictions.csv

say "Done: the models are in $OUT. Next: modelgpt build --help (in .venv/bin), README.md"
