// Score a row of a table: node predict.mjs FOLDER '{"age": 39, "workclass": "State-gov"}'
// FOLDER: what `modelgpt export model.onnx --for web -o FOLDER` wrote. npm install onnxruntime-web, or onnxruntime-node.
import { readFile } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";
import * as ort from "onnxruntime-web";

const [folder, row] = process.argv.slice(2);
const { answer, feeds } = await import(pathToFileURL(resolve(folder, "model.mjs")));
const schema = JSON.parse(await readFile(resolve(folder, "schema.json"), "utf8"));

ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(new Uint8Array(await readFile(resolve(folder, "model.onnx"))));
const found = answer(schema, await session.run(feeds(ort, schema, null, JSON.parse(row))));
if (found.kind === "number") console.log(found.value, ...(found.lower === undefined ? [] : [found.lower, found.upper]));
else console.log(found.label, ...schema.labels.map((name) => found.classes.find((c) => c.label === name).probability.toFixed(4)));
process.exit(0);
