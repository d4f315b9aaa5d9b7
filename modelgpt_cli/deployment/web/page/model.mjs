// A model at work: what a user gives to the graph's inputs, and its outputs to an answer. No page in here: node runs it, too.

/**
 * Turn what a user gave into the graph's inputs.
 * @param {object} ort onnxruntime-web
 * @param {object} schema schema.json
 * @param {object} tokenizer null where the model reads no text
 * @param {object} values name of a field → string; of an image {width, height, data}, data as RGBA
 */
export function feeds(ort, schema, tokenizer, values) {
  const found = {};
  const texts = schema.fields.filter((f) => f.kind === "tokens");
  for (const field of schema.fields) {
    const value = values[field.name];
    if (field.kind === "number") found[field.input] = column(ort, "float32", [number(value, field)]);
    else if (field.kind === "date") found[field.input] = column(ort, "float32", [days(value, field)]);
    else if (field.kind === "choice") found[field.input] = column(ort, "string", [value == null ? "" : String(value)]);
    else if (field.kind === "pixels") found[field.input] = pixels(ort, value);
    else if (field.kind === "tokens" && !field.segments) Object.assign(found, text(ort, schema, tokenizer, field, value));
  }
  if (texts.length === 2 && texts[0].segments) Object.assign(found, pair(ort, tokenizer, texts, values));
  return found;
}

function column(ort, type, cells) {
  return new ort.Tensor(type, type === "float32" ? Float32Array.from(cells) : cells, [cells.length, 1]);
}

function number(value, field) {
  if (value == null || String(value).trim() === "") return NaN; // missing
  const found = Number(value);
  if (!Number.isFinite(found)) throw new Error(`${field.name}: ${JSON.stringify(value)} is no number.`);
  return found;
}

function days(value, field) {
  if (value == null || value === "") return NaN;
  const found = Date.parse(/T/.test(value) ? `${value}Z` : `${value}T00:00Z`) / 86400000;
  if (!Number.isFinite(found)) throw new Error(`${field.name}: ${JSON.stringify(value)} is no date.`);
  return found;
}

function pixels(ort, image) {
  if (!image) throw new Error("Give an image first.");
  const n = image.width * image.height;
  const rgb = new Uint8Array(3 * n);
  for (let i = 0; i < n; i++) {
    rgb[3 * i] = image.data[4 * i];
    rgb[3 * i + 1] = image.data[4 * i + 1];
    rgb[3 * i + 2] = image.data[4 * i + 2];
  }
  return new ort.Tensor("uint8", rgb, [1, image.height, image.width, 3]);
}

// Texts ----------------------------------------------------------------------------------------------------------------

function integers(ort, numbers) {
  return new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
}

function text(ort, schema, tokenizer, field, value) {
  const given = value == null ? "" : String(value);
  // A cell of free text in a table may be missing; a text by itself is read, even if it is empty.
  const missing = schema.fields.length > 1 && given.trim() === "";
  let ids = missing ? [] : tokenizer.single(given);
  const mask = ids.map(() => 1);
  if (ids.length === 0) [ids, mask[0]] = [[0], schema.fields.length > 1 ? 0 : 1];
  return { [field.input]: integers(ort, ids), [field.mask]: integers(ort, mask) };
}

function pair(ort, tokenizer, fields, values) {
  const [ids, second] = tokenizer.pair(...fields.map((f) => String(values[f.name] ?? "")));
  return {
    [fields[0].input]: integers(ort, ids),
    [fields[0].mask]: integers(ort, ids.map(() => 1)),
    [fields[0].segments]: integers(ort, ids.map((_, i) => (i >= second ? 1 : 0))),
  };
}

/** The model's tokenizer: as the library reads it, cut at the model's window as Hugging Face's tokenizers cut. */
export class Tokens {
  constructor(Tokenizer, json) {
    const [charsmap, rest] = splitCharsmap(json);
    this.json = json;
    this.charsmap = charsmap;
    this.inner = new Tokenizer(rest, {});
    this.window = json.truncation?.max_length ?? Infinity;
    const empty = this.inner.encode("").ids;
    const bare = (given) => this.inner.encode(charsmap ? charsmap.normalize(given) : given, { add_special_tokens: false }).ids;
    this.bare = bare;
    // Special tokens: those before a text, and those behind it.
    const word = bare("a");
    const whole = this.inner.encode("a").ids;
    const before = whole.length === word.length ? 0 : whole.indexOf(word[0]);
    this.before = empty.slice(0, before);
    this.behind = whole.slice(before + word.length);
  }

  single(given) {
    const room = this.window - this.before.length - this.behind.length;
    return [...this.before, ...this.bare(given).slice(0, room), ...this.behind];
  }

  /** Ids of a pair, and where its second text begins. */
  pair(first, second) {
    let [a, b] = [this.bare(first), this.bare(second)];
    const room = this.window - this.before.length - 2 * this.behind.length;
    if (a.length + b.length > room) {
      // The longer one is cut first; where both are too long, each gets half.
      const shorter = Math.min(a.length, b.length);
      let kept = Math.max(shorter, room - shorter);
      let least = shorter;
      if (least + kept > room) [least, kept] = [Math.floor(room / 2), Math.ceil(room / 2)];
      const [ofA, ofB] = a.length > b.length ? [kept, least] : [least, kept];
      [a, b] = [a.slice(0, ofA), b.slice(0, ofB)];
    }
    const start = this.before.length + a.length + this.behind.length;
    return [[...this.before, ...a, ...this.behind, ...b, ...this.behind], start];
  }
}

// Tokenizers that come from SentencePiece have a table of what characters become, which the library only approximates.
function splitCharsmap(json) {
  const steps = json.normalizer?.type === "Sequence" ? json.normalizer.normalizers : [json.normalizer];
  if (steps[0]?.type !== "Precompiled" || !steps[0].precompiled_charsmap) return [null, json];
  return [new Charsmap(steps[0].precompiled_charsmap), { ...json, normalizer: { type: "Sequence", normalizers: steps.slice(1) } }];
}

/**
 * SentencePiece's precompiled map of characters: a double-array trie of UTF-8 bytes, and the strings that it leads to. As
 * Hugging Face's tokenizers read it: a grapheme of fewer than six bytes as a whole, else character by character; of
 * several matches the shortest.
 */
class Charsmap {
  constructor(base64) {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    const size = new DataView(bytes.buffer).getUint32(0, true);
    this.trie = new Uint32Array(bytes.slice(4, 4 + size).buffer);
    this.strings = bytes.slice(4 + size);
    this.encoder = new TextEncoder();
    this.decoder = new TextDecoder();
    this.segmenter = new Intl.Segmenter("und", { granularity: "grapheme" });
  }

  normalize(given) {
    let found = "";
    for (const { segment } of this.segmenter.segment(given)) {
      const whole = this.encoder.encode(segment);
      const mapped = whole.length < 6 ? this.lookUp(whole) : null;
      if (mapped != null) found += mapped;
      else for (const character of segment) found += this.lookUp(this.encoder.encode(character)) ?? character;
    }
    return found;
  }

  lookUp(bytes) {
    const offset = (unit) => (unit >>> 10) << ((unit & 512) >>> 6);
    let place = offset(this.trie[0]);
    for (const byte of bytes) {
      place ^= byte;
      const unit = this.trie[place];
      if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return null;
      place ^= offset(unit);
      if ((unit >>> 8) & 1) {
        const start = this.trie[place] & 0x7fffffff;
        return this.decoder.decode(this.strings.slice(start, this.strings.indexOf(0, start)));
      }
    }
    return null;
  }
}

// Answers --------------------------------------------------------------------------------------------------------------

/**
 * Turn the graph's outputs into an answer, as `modelgpt predict` gives it.
 * @returns {object} kind and what it has: classes [{label, probability}], value, lower, upper, mask, boxes, points
 */
export function answer(schema, outputs) {
  const kind = schema.answer.kind;
  const found = { kind };
  if (kind === "classes" || kind === "labels") {
    const probabilities = Array.from(outputs.probabilities.data);
    const given = kind === "labels" ? Array.from(outputs.label.data, Number) : null;
    found.classes = schema.labels.map((label, k) => ({ label, probability: probabilities[k], given: given?.[k] === 1 }));
    found.classes.sort((a, b) => b.probability - a.probability);
    if (kind === "classes") {
      found.label = String(outputs.label.data[0]);
      for (const one of found.classes) one.given = one.label === found.label;
    } else found.label = found.classes.filter((one) => one.given).map((one) => one.label);
  } else if (kind === "number") {
    found.value = Number(outputs.prediction.data[0]);
    if (outputs.lower) [found.lower, found.upper] = [Number(outputs.lower.data[0]), Number(outputs.upper.data[0])];
  } else if (kind === "mask") {
    const [, height, width] = outputs.mask.dims;
    found.mask = { height, width, data: outputs.mask.data };
    const counts = new Array(schema.labels.length).fill(0);
    for (const k of outputs.mask.data) counts[k]++;
    found.classes = schema.labels
      .map((label, k) => ({ label, index: k, probability: counts[k] / outputs.mask.data.length }))
      .filter((one) => one.probability > 0);
  } else if (kind === "boxes") {
    const least = schema.answer.least_score ?? 0;
    found.boxes = [];
    for (let i = 0; i < outputs.scores.data.length; i++) {
      const score = Number(outputs.scores.data[i]);
      const index = Number(outputs.labels.data[i]);
      const box = Array.from(outputs.boxes.data.slice(4 * i, 4 * i + 4));
      if (score >= least) found.boxes.push({ label: schema.labels[index], index, score, box });
    }
  } else if (kind === "points") {
    found.points = schema.labels.map((label, k) => {
      const [x, y, score] = outputs.keypoints.data.slice(3 * k, 3 * k + 3);
      return { label, x, y, score };
    });
  }
  if (outputs.novelty) found.novelty = Number(outputs.novelty.data[0]);
  return found;
}
