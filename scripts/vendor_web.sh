#!/usr/bin/env bash
# Get what an exported page runs on from npm: onnxruntime-web and a tokenizer library, in fixed versions. Run once in a
# checkout; a release does it before the wheel is made. Nothing of it is kept in the repository.
set -euo pipefail

ORT=1.30.0
TOKENIZERS=0.2.0
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
INTO="$ROOT/modelgpt_cli/deployment/web/vendor"
command -v npm >/dev/null || { echo "npm is needed: install Node.js." >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "onnxruntime-web@$ORT" "@huggingface/tokenizers@$TOKENIZERS" >/dev/null
for file in *.tgz; do
  mkdir "${file%.tgz}"
  tar xzf "$file" -C "${file%.tgz}"
done

mkdir new
cp "onnxruntime-web-$ORT/package/dist/ort.wasm.bundle.min.mjs" new/
cp "onnxruntime-web-$ORT/package/dist/ort-wasm-simd-threaded.wasm" new/
cp "onnxruntime-web-$ORT/package/dist/ort-wasm-simd-threaded.mjs" new/ # node loads this; browsers have it in the bundle
cp "huggingface-tokenizers-$TOKENIZERS/package/dist/tokenizers.min.mjs" new/
cat >new/onnxruntime-web.LICENSE <<'END'
onnxruntime-web, https://github.com/microsoft/onnxruntime

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
END
cp "huggingface-tokenizers-$TOKENIZERS/package/LICENSE" new/tokenizers.LICENSE
printf '{"onnxruntime-web": "%s", "@huggingface/tokenizers": "%s"}\n' "$ORT" "$TOKENIZERS" >new/versions.json
rm -rf "$INTO"
mv new "$INTO"
du -sh "$INTO"
