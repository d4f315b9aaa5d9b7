// Marked texts: a text to the graph's windows, and the scores of its words' tags to spans, as `modelgpt predict` does both.
// No page in here: node runs it, too. Shapes: W words, L tags; the table of transitions is (L + 1) x (L + 1), its last row
// the text's beginning, its last column the end.

const EDGE = 0; // the shape where there is no word
const OVERLAP = 0.25; // the share of a window that the next one has too
const NEVER = -1e4; // the score of a transition that can't be

/**
 * Find the spans of a text.
 * @param {object} ort onnxruntime-web
 * @param {object} session of model.onnx
 * @param {object} schema schema.json
 * @param {object} tokenizer Tokens of model.mjs
 * @param {string} text
 * @returns {object} kind and spans [{start, end, text, label, score}], places in code points
 */
export async function findSpans(ort, session, schema, tokenizer, text) {
  const { window: most, transitions: table, sharpness } = schema.answer;
  const read = readText(tokenizer, text);
  const scores = new Array(read.words.length);
  const depth = new Array(read.words.length).fill(-1);
  for (const [low, high] of windowsOf(read.first, most - tokenizer.before.length - tokenizer.behind.length)) {
    const output = (await session.run(feeds(ort, schema, tokenizer, read, low, high, most))).scores;
    const tags = output.dims[2];
    for (let k = 0; k < high - low; k++) {
      // Where windows share a word, the one counts in which it is farther from an end.
      const at = Math.min(k + (low ? 0 : 1e6), high - low - 1 - k + (high === read.words.length ? 1e6 : 0));
      if (at > depth[low + k]) {
        scores[low + k] = Float64Array.from(output.data.slice(k * tags, (k + 1) * tags));
        depth[low + k] = at;
      }
    }
  }
  const found = spansOf(bestTags(scores, table));
  const sharp = (values) => Array.from(values, (x) => x * sharpness);
  const chances = probabilities(scores.map(sharp), table.map(sharp), found);
  const characters = Array.from(text);
  return {
    kind: "spans",
    spans: found.map(({ first, last, k }, i) => {
      const [start, end] = [read.words[first][0], read.words[last][1]];
      return { start, end, text: characters.slice(start, end).join(""), label: schema.labels[k], score: Math.round(1e4 * chances[i]) / 1e4 };
    }),
  };
}

// A text to words ------------------------------------------------------------------------------------------------------

/** Words as BERT's tokenizer makes them: their places in code points, their pieces, and their shapes. */
export function readText(tokenizer, text) {
  const read = { pieces: [], first: [], words: [], shapes: [] };
  const characters = Array.from(text);
  for (const [start, end] of wordsOf(characters, tokenizer)) {
    const word = characters.slice(start, end).join("");
    const pieces = tokenizer.bare(word);
    if (!pieces.length) continue;
    read.first.push(read.pieces.length);
    read.words.push([start, end]);
    read.shapes.push(shapeOf(word));
    for (const piece of pieces) read.pieces.push(piece);
  }
  read.first.push(read.pieces.length);
  return read;
}

function wordsOf(characters, tokenizer) {
  const { strip_accents, lowercase } = tokenizer.json.normalizer ?? {};
  const strips = strip_accents ?? lowercase ?? true;
  const special = (tokenizer.json.added_tokens ?? []).map((one) => Array.from(one.content));
  const found = [];
  let open = null; // the word that the next character may belong to
  const close = () => { if (open) found.push(open); open = null; };
  for (let i = 0; i < characters.length; i++) {
    const own = special.find((one) => one.every((c, k) => characters[i + k] === c));
    const c = characters[i];
    if (own) {
      close();
      found.push([i, i + own.length]);
      i += own.length - 1;
    } else if (!/[\t\n\r]/.test(c) && (c === "\ufffd" || /\p{C}/u.test(c))) continue; // taken out, and parts no words
    else if (/\p{White_Space}/u.test(c)) close();
    else if (strips && /\p{Mn}/u.test(c)) continue;
    else if (isSign(c) || isCJK(c.codePointAt(0))) {
      close();
      found.push([i, i + 1]);
    } else if (open) open[1] = i + 1;
    else open = [i, i + 1];
  }
  close();
  return found;
}

function isSign(c) {
  return /[!-/:-@[-`{-~]|\p{P}/u.test(c.normalize("NFD"));
}

function isCJK(point) {
  const ranges = [[0x4e00, 0x9fff], [0x3400, 0x4dbf], [0x20000, 0x2a6df], [0x2a700, 0x2b73f], [0x2b740, 0x2b81f], [0x2b920, 0x2ceaf], [0xf900, 0xfaff], [0x2f800, 0x2fa1f]];
  return ranges.some(([low, high]) => point >= low && point <= high);
}

const DIGIT = "[\\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]";
const DIGITS = new RegExp(`^${DIGIT}+$`, "u");
const SOME_DIGIT = new RegExp(DIGIT, "u");

/** The number of a word's shape, as Python's `shape_of` gives it. */
export function shapeOf(word) {
  const characters = Array.from(word);
  if (DIGITS.test(word)) return Math.min(characters.length, 5);
  if (SOME_DIGIT.test(word)) return 6;
  if (!/\p{L}/u.test(word)) return word === "." || word === "," ? 7 : ["-", "/", "–"].includes(word) ? 8 : 9;
  const isUpper = (x) => /\p{Uppercase}/u.test(x) && !/[\p{Lowercase}\p{Lt}]/u.test(x);
  const isLower = (x) => /\p{Lowercase}/u.test(x) && !/[\p{Uppercase}\p{Lt}]/u.test(x);
  if (isUpper(word)) return characters.length === 1 ? 10 : 11;
  if (isUpper(characters[0])) return isLower(characters.slice(1).join("")) ? 12 : 14;
  if (isLower(word)) return 13;
  return characters.some(isUpper) ? 14 : 15;
}

/** The first word of each window and the first one behind it: as many as fit, with a part of the window before. */
export function windowsOf(first, room) {
  const n = first.length - 1;
  const found = [];
  let low = 0;
  while (low < n) {
    let high = low + 1;
    while (high < n && first[high + 1] - first[low] <= room) high++;
    found.push([low, high]);
    if (high === n) break;
    let back = high;
    while (back - 1 > low && first[high] - first[back - 1] <= OVERLAP * room) back--;
    low = back;
  }
  return found;
}

function feeds(ort, schema, tokenizer, read, low, high, most) {
  const room = most - tokenizer.before.length - tokenizer.behind.length;
  const ids = [...tokenizer.before];
  const words = ids.map(() => 0);
  for (let k = low; k < high; k++)
    for (const piece of read.pieces.slice(read.first[k], read.first[k + 1]).slice(0, room)) {
      ids.push(piece);
      words.push(k - low + 1);
    }
  for (const piece of tokenizer.behind) {
    ids.push(piece);
    words.push(0);
  }
  const shapes = [low ? read.shapes[low - 1] : EDGE, ...read.shapes.slice(low, high), read.shapes[high] ?? EDGE];
  const row = (numbers) => new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
  const field = schema.fields[0];
  return { [field.input]: row(ids), [field.mask]: row(ids.map(() => 1)), [schema.answer.words]: row(words), [schema.answer.shapes]: row(shapes) };
}

// Scores to spans ------------------------------------------------------------------------------------------------------

/** The best tags of a text's words (Viterbi). */
export function bestTags(scores, table) {
  if (!scores.length) return [];
  const n = scores[0].length;
  let best = Array.from(scores[0], (score, k) => score + table[n][k]);
  const back = [];
  for (let i = 1; i < scores.length; i++) {
    const from = new Array(n).fill(0);
    const moved = new Array(n).fill(-Infinity);
    for (let to = 0; to < n; to++)
      for (let k = 0; k < n; k++)
        if (best[k] + table[k][to] > moved[to]) [moved[to], from[to]] = [best[k] + table[k][to], k];
    back.push(from);
    best = moved.map((value, k) => value + scores[i][k]);
  }
  const ends = best.map((value, k) => value + table[k][n]);
  const path = [ends.indexOf(Math.max(...ends))];
  for (const from of back.reverse()) path.unshift(from[path[0]]);
  return path;
}

function spansOf(tags) {
  const found = [];
  tags.forEach((tag, i) => {
    if (tag % 2 === 1) found.push({ first: i, last: i, k: (tag - 1) / 2 });
    else if (tag && found.length && found.at(-1).last === i - 1) found.at(-1).last = i;
  });
  return found;
}

/** How probable each span is: the share of all ways of tagging the text that have this very span. */
function probabilities(scores, table, spans) {
  if (!spans.length) return [];
  const n = scores[0].length;
  const every = [...Array(n).keys()];
  const before = [every.map((k) => scores[0][k] + table[n][k])];
  for (let i = 1; i < scores.length; i++)
    before.push(every.map((to) => logSum(every.map((k) => before[i - 1][k] + table[k][to])) + scores[i][to]));
  const behind = new Array(scores.length);
  behind[scores.length - 1] = every.map((k) => table[k][n]);
  for (let i = scores.length - 2; i >= 0; i--)
    behind[i] = every.map((k) => logSum(every.map((to) => table[k][to] + scores[i + 1][to] + behind[i + 1][to])));
  const total = logSum(every.map((k) => before.at(-1)[k] + behind.at(-1)[k]));
  return spans.map(({ first, last, k }) => {
    const [begin, inside] = [1 + 2 * k, 2 + 2 * k];
    let log = before[first][begin];
    let previous = begin;
    for (let i = first + 1; i <= last; i++) {
      log += table[previous][inside] + scores[i][inside];
      previous = inside;
    }
    // What comes behind is anything but more of the same span.
    if (last + 1 < scores.length)
      log += logSum(every.map((to) => (to === inside ? NEVER : table[previous][to] + scores[last + 1][to] + behind[last + 1][to])));
    else log += table[previous][n];
    return Math.min(1, Math.max(0, Math.exp(log - total)));
  });
}

function logSum(values) {
  const top = Math.max(...values);
  return top + Math.log(values.reduce((sum, x) => sum + Math.exp(x - top), 0));
}
