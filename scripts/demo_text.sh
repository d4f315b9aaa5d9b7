#!/usr/bin/env bash
# Texts: a classifier from words alone, then from words and 24 examples, on messages to a shop written for this demo.
# Needs what demo.sh needs; offline once installed. Results are left in out/demo_text/.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
. "$ROOT/scripts/environment.sh"

install_modelgpt ""
cd "$ROOT"
export PATH="$VENV/bin:$PATH"
OUT=out/demo_text
mkdir -p $OUT

say "60 messages: 24 to build from, 36 held out"
sed -n 1,25p scripts/samples/messages.csv >$OUT/examples.csv
sed -n '1p;26,$p' scripts/samples/messages.csv >$OUT/held_out.csv

say "A requirement in words, with the names of the classes"
cat >$OUT/requirement.txt <<'REQUIREMENT'
Sort the messages that customers send to our shop, so that complaints can be answered first.
---
target: kind
classes: [complaint, praise, question]
columns:
  - {name: message, type: text, role: text}
REQUIREMENT
cat $OUT/requirement.txt

say "From words alone"
run modelgpt build --req $OUT/requirement.txt -o $OUT/words.onnx --force
run modelgpt evaluate $OUT/words.onnx $OUT/held_out.csv

say "From words and 24 examples"
run modelgpt build --req $OUT/requirement.txt --data $OUT/examples.csv -o $OUT/model.onnx --force
run modelgpt evaluate $OUT/model.onnx $OUT/held_out.csv

say "A quarter of the size, and faster: 8-bit integers"
run modelgpt export $OUT/model.onnx --quantize int8 --data $OUT/held_out.csv -o $OUT/small.onnx --force
run modelgpt predict $OUT/small.onnx $OUT/held_out.csv --proba -o $OUT/predictions.csv --force
sed -n 1,4p $OUT/predictions.csv

say "Done: the models are in $OUT. Next: modelgpt build --help (in .venv/bin), README.md"
