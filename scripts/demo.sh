#!/usr/bin/env bash
# The main job on a bare machine: make .venv, install, then describe -> build -> predict -> evaluate on the iris table.
# Needs Python 3.10 or newer; offline once installed; run again it is quick. Results are left in out/demo/.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
. "$ROOT/scripts/environment.sh"

install_modelgpt ""
cd "$ROOT"
export PATH="$VENV/bin:$PATH"
mkdir -p out/demo

say "Writing the iris table: 100 rows to build from, 50 held out"
python - <<'PYTHON'
from sklearn.datasets import load_iris
from sklearn.model_selection import train_test_split

iris = load_iris(as_frame=True)
table = iris.data.assign(species=iris.target.map(dict(enumerate(iris.target_names))))
train, held_out = train_test_split(table, test_size=50, stratify=table["species"], random_state=0)
train.to_csv("out/demo/train.csv", index=False)
held_out.to_csv("out/demo/held_out.csv", index=False)
held_out.drop(columns="species").to_csv("out/demo/new.csv", index=False)
PYTHON

say "From a table to a requirement in words"
run modelgpt describe out/demo/train.csv --target species --offline -o out/demo/requirement.txt --force
sed -n 1p out/demo/requirement.txt

say "From the requirement and the table to a model, without training"
run modelgpt build --req out/demo/requirement.txt -o out/demo/model.onnx --force

say "Predictions for rows it has never seen"
run modelgpt predict out/demo/model.onnx out/demo/new.csv --proba -o out/demo/predictions.csv --force
sed -n 1,4p out/demo/predictions.csv

say "How good they are"
run modelgpt evaluate out/demo/model.onnx out/demo/held_out.csv

say "Done: the model is out/demo/model.onnx. Next: modelgpt --help (in .venv/bin), README.md"
