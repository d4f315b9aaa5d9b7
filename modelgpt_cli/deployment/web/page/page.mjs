import * as ort from "./runtime/ort.wasm.bundle.min.mjs";
import { Tokens, answer, feeds } from "./model.mjs";
import { findSpans } from "./spans.mjs";

const MOST_SIDE = 1600; // pixels: a larger photograph is made smaller first, as it would fill a phone's memory
const SHOWN_CLASSES = 10;
const COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#bcbd22", "#17becf", "#ffdd33", "#000080", "#008000", "#800000", "#aaffc3", "#ffd7b4", "#808080"];
const $ = (id) => document.getElementById(id);
const images = {}; // name of a field → its canvas
let schema, session, tokenizer, camera;

function make(tag, properties = {}, ...children) {
  const found = Object.assign(document.createElement(tag), properties);
  found.append(...children);
  return found;
}

// Fields ---------------------------------------------------------------------------------------------------------------

function fieldOf(field, k) {
  const id = `field-${k}`;
  const words = [field.description, range(field)].filter(Boolean).join(" · ");
  const label = make("label", { htmlFor: id }, field.name, ...(words ? [make("small", { textContent: words })] : []));
  if (field.kind === "pixels") return make("div", { className: "wide" }, imageField(field, id));
  let input;
  if (field.kind === "tokens") input = make("textarea", { id, name: field.name });
  else if (field.kind === "choice" && field.levels?.length) {
    input = make("select", { id, name: field.name }, make("option", { value: "", textContent: "(not known)" }));
    input.append(...field.levels.map((level) => make("option", { value: level, textContent: level })));
  } else if (field.kind === "number") input = make("input", { id, name: field.name, type: "number", step: "any", inputMode: "decimal", placeholder: "not known" });
  else if (field.kind === "date") input = make("input", { id, name: field.name, type: "datetime-local" });
  else input = make("input", { id, name: field.name, type: "text" });
  return make("div", { className: field.kind === "tokens" ? "wide" : "" }, label, input);
}

function range(field) {
  if (field.low == null || field.high == null) return "";
  const shown = field.kind === "date" ? (n) => new Date(n * 86400000).toISOString().slice(0, 10) : brief;
  return `${shown(field.low)} to ${shown(field.high)}`;
}

function brief(n) {
  return Number(n).toLocaleString("en", { maximumSignificantDigits: 5 });
}

function imageField(field, id) {
  const file = make("input", { id, type: "file", accept: "image/*" });
  const canvas = make("canvas", { hidden: true });
  const button = make("button", { type: "button", className: "plain", textContent: "Camera" });
  const area = make("div", { className: "drop" }, make("label", { htmlFor: id }, "Drop an image here, paste one, or choose a file"), file, button, make("div", {}, canvas));
  images[field.name] = canvas;
  const take = async (blob) => {
    if (!blob) return;
    stopCamera();
    try {
      draw(canvas, await createImageBitmap(blob));
    } catch {
      return fail(`${blob.name ?? "This"} is no image that this browser reads.`);
    }
    run();
  };
  file.addEventListener("change", () => take(file.files[0]));
  area.addEventListener("dragover", (event) => { event.preventDefault(); area.classList.add("over"); });
  area.addEventListener("dragleave", () => area.classList.remove("over"));
  area.addEventListener("drop", (event) => { event.preventDefault(); area.classList.remove("over"); take(event.dataTransfer.files[0]); });
  document.addEventListener("paste", (event) => take([...event.clipboardData.files][0]));
  if (navigator.mediaDevices?.getUserMedia) button.addEventListener("click", () => (camera ? stopCamera() : startCamera(canvas, button)));
  else button.hidden = true;
  return area;
}

function draw(canvas, source, width = source.width, height = source.height) {
  const scale = Math.min(1, MOST_SIDE / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.hidden = false;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white"; // behind what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
}

async function startCamera(canvas, button) {
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    const video = make("video", { srcObject: stream, muted: true, playsInline: true });
    await video.play();
    camera = { stream, button };
    button.textContent = "Stop the camera";
    while (camera?.stream === stream) {
      draw(canvas, video, video.videoWidth, video.videoHeight);
      await run();
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    fail(`The camera can't be used: ${error.message}`);
  }
}

function stopCamera() {
  if (!camera) return;
  for (const track of camera.stream.getTracks()) track.stop();
  camera.button.textContent = "Camera";
  camera = null;
}

function values() {
  const found = {};
  schema.fields.forEach((field, k) => {
    if (field.kind !== "pixels") return (found[field.name] = $(`field-${k}`).value);
    const canvas = images[field.name];
    found[field.name] = canvas.hidden ? null : canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  });
  return found;
}

// Answers --------------------------------------------------------------------------------------------------------------

let busy = false;
async function run() {
  if (busy) return;
  busy = true;
  $("run").disabled = true;
  try {
    const given = values();
    const start = performance.now();
    const found = await answerTo(given);
    const took = performance.now() - start;
    say("");
    $("shown").replaceChildren(...shown(found));
    $("took").textContent = `Computed here, in ${took < 10 ? took.toFixed(1) : Math.round(took)} ms.`;
    $("answer").hidden = false;
    window.lastAnswer = found; // for scripts
  } catch (error) {
    fail(error.message ?? String(error));
  } finally {
    busy = false;
    $("run").disabled = false;
  }
}

async function answerTo(given) {
  if (schema.answer.kind === "spans") return findSpans(ort, session, schema, tokenizer, given[schema.fields[0].name] ?? "");
  return answer(schema, await session.run(feeds(ort, schema, tokenizer, given)));
}

function shown(found) {
  const parts = [];
  if (found.kind === "classes" || found.kind === "labels") parts.push(bars(found.classes));
  else if (found.kind === "number") {
    parts.push(make("p", { className: "number", textContent: brief(found.value) }));
    if (found.lower != null) {
      const words = `${brief(found.lower)} to ${brief(found.upper)} in ${Math.round(100 * schema.coverage)} of 100 cases`;
      parts.push(make("p", { className: "note", textContent: words }));
    }
  } else if (found.kind === "spans") parts.push(...marked(found.spans));
  else parts.push(...drawing(found));
  if (found.kind === "labels" && !found.label.length) parts.unshift(make("p", { className: "note", textContent: "None of the labels." }));
  if (found.novelty != null && schema.novelty != null && found.novelty > schema.novelty)
    parts.push(make("p", { className: "warn", textContent: "Unlike anything that the model was built from: don't rely on this answer." }));
  return parts;
}

function bars(classes) {
  const rows = classes.slice(0, SHOWN_CLASSES).map((one) => {
    const bar = make("div");
    bar.style.width = `${100 * one.probability}%`;
    return make("tr", { className: one.given ? "given" : "" }, make("td", { textContent: one.label }), make("td", {}, bar), make("td", { textContent: percent(one.probability) }));
  });
  const rest = classes.length - rows.length;
  const table = make("table", { className: "bars" }, make("tbody", {}, ...rows));
  return rest > 0 ? make("div", {}, table, make("p", { className: "note", textContent: `and ${rest} more` })) : table;
}

function marked(spans) {
  const given = Array.from(values()[schema.fields[0].name] ?? "");
  const place = (label) => colour("", schema.labels.indexOf(label));
  const text = make("p", { className: "marked" });
  let done = 0;
  for (const { start, end, label, score } of spans) {
    const mark = make("mark", { title: percent(score) }, given.slice(start, end).join(""), make("small", { textContent: label }));
    mark.style.borderColor = place(label);
    text.append(given.slice(done, start).join(""), mark);
    done = end;
  }
  text.append(given.slice(done).join(""));
  const rows = spans.map(({ text: words, label, score }) => make("tr", {}, make("td", { textContent: label }), make("td", { textContent: words }), make("td", { textContent: percent(score) })));
  return spans.length ? [text, make("table", { className: "spans" }, make("tbody", {}, ...rows))] : [make("p", { className: "note", textContent: "Nothing found." })];
}

function percent(p) {
  if (p > 0 && p < 0.0005) return "< 0.1 %";
  if (p < 1 && p >= 0.9995) return "> 99.9 %";
  return `${(100 * p).toFixed(1)} %`;
}

function drawing(found) {
  const image = images[schema.fields.find((field) => field.kind === "pixels").name];
  const canvas = make("canvas", { width: image.width, height: image.height });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const size = Math.max(12, Math.round(Math.max(canvas.width, canvas.height) / 40));
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.lineWidth = Math.max(2, size / 6);
  let entries = [];
  if (found.kind === "mask") {
    const data = context.getImageData(0, 0, canvas.width, canvas.height);
    const colours = schema.labels.map((label, k) => rgb(colour(label, k)));
    for (let i = 0; i < found.mask.data.length; i++)
      for (let c = 0; c < 3; c++) data.data[4 * i + c] = 0.45 * data.data[4 * i + c] + 0.55 * colours[found.mask.data[i]][c];
    context.putImageData(data, 0, 0);
    entries = found.classes.sort((a, b) => b.probability - a.probability).map((one) => [colour(one.label, one.index), `${one.label} ${percent(one.probability)}`]);
  } else if (found.kind === "boxes") {
    const counts = new Map();
    for (const { label, index, score, box: [left, top, right, bottom] } of found.boxes.slice().reverse()) {
      context.strokeStyle = context.fillStyle = colour(label, index);
      context.strokeRect(left, top, right - left, bottom - top);
      const words = `${label} ${percent(score)}`;
      const high = top >= size * 1.3 ? top - size * 1.3 : top;
      context.fillRect(left, high, context.measureText(words).width + size / 2, size * 1.3);
      context.fillStyle = "white";
      context.fillText(words, left + size / 4, high + size);
      counts.set(index, (counts.get(index) ?? 0) + 1);
    }
    entries = [...counts].map(([k, n]) => [colour(schema.labels[k], k), `${schema.labels[k]}: ${n}`]);
    if (!entries.length) entries = [["transparent", "Nothing found."]];
  } else {
    for (const [a, b] of schema.answer.edges ?? []) {
      context.strokeStyle = "white";
      context.beginPath();
      context.moveTo(found.points[a].x, found.points[a].y);
      context.lineTo(found.points[b].x, found.points[b].y);
      context.stroke();
    }
    found.points.forEach(({ x, y }, k) => {
      context.fillStyle = colour("", k);
      context.beginPath();
      context.arc(x, y, size / 3, 0, 2 * Math.PI);
      context.fill();
    });
    entries = found.points.map(({ label, score }, k) => [colour("", k), `${label} ${percent(score)}`]);
  }
  const legend = entries.map(([tint, words]) => {
    const square = make("i");
    square.style.background = tint;
    return make("li", {}, square, words);
  });
  return [canvas, make("ul", { className: "legend" }, ...legend)];
}

function colour(label, k) {
  if (["background", "other", "unlabelled", "none"].includes(label.toLowerCase())) return "#282828";
  return k < COLOURS.length ? COLOURS[k] : hex((k * 137.508) % 360);
}

function hex(hue) {
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.5 - 0.35 * Math.max(-1, Math.min(k - 3, 9 - k, 1)))).toString(16).padStart(2, "0");
  };
  return `#${part(0)}${part(8)}${part(4)}`;
}

function rgb(tint) {
  return [1, 3, 5].map((i) => parseInt(tint.slice(i, i + 2), 16));
}

// The rest of the page -------------------------------------------------------------------------------------------------

function say(words) {
  $("status").textContent = words;
  $("status").className = "";
}

function fail(words) {
  $("status").textContent = words;
  $("status").className = "error";
}

function about() {
  const card = schema.card;
  const rows = [];
  for (const [name, metrics] of Object.entries(card.metrics)) {
    const words = Object.entries(metrics).filter(([, value]) => typeof value === "number");
    rows.push([name === "model" ? `measured ${card.validated}`.trim() : name, words.map(([key, value]) => `${key.replaceAll("_", " ")} ${brief(value)}`).join(", ")]);
  }
  for (const [key, value] of Object.entries(card.limits)) rows.push([`limit: ${key}`, String(value)]);
  rows.push(["size", `${(card.size_bytes / 1e6).toFixed(2)} MB`], ["SHA-256", card.sha256]);
  for (const [name, version] of Object.entries(schema.runtime)) rows.push([name, version]);
  const list = make("dl");
  for (const [name, words] of rows) list.append(make("dt", { textContent: name }), make("dd", { textContent: words }));
  const notes = make("ul", {}, ...card.notes.map((note) => make("li", { textContent: note })));
  $("about").append(list, ...(card.notes.length ? [make("h2", { textContent: "Notes" }), notes] : []));
}

async function load() {
  schema = await (await fetch("schema.json")).json();
  document.title = $("title").textContent = schema.title;
  $("requirement").textContent = schema.requirement;
  $("fields").append(...schema.fields.map(fieldOf));
  about();
  ort.env.wasm.wasmPaths = { wasm: new URL("./runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
  ort.env.wasm.numThreads = window.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency || 1) : 1;
  if (schema.tokenizer) {
    const [{ Tokenizer }, json] = await Promise.all([import("./runtime/tokenizers.min.mjs"), (await fetch(schema.tokenizer)).json()]);
    tokenizer = new Tokens(Tokenizer, json);
  }
  session = await ort.InferenceSession.create("model.onnx", { executionProviders: ["wasm"] });
  $("form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
  document.querySelector("main").hidden = false;
  say("");
  document.body.dataset.ready = "yes";
}

load().catch((error) => fail(`The model can't be loaded: ${error.message ?? error}`));
