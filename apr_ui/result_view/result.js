// The result view: the picture, the picture as it was changed, and what the model says of both.

const SIDE = 448; // canvas pixels: two for each of the screen's
const SMALL = 64; // pixels of a side up to which one of them is seen without a lens
const LENS = { reach: 7, share: 0.4, gap: 8 }; // pixels it shows each way; its share of the canvas
const MANY = { pixels: 16, reach: 20, grow: 1 }; // beyond so many: no rings, a wider lens, larger pixels
const SEEN = 24; // canvas pixels of a patch's side from which it needs no lens
const MARKS = { fooled: "⚡", held: "✓", live: "…", plain: "" };

function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function draw(canvas, { width, height, image, edits: all, square }, edits) {
  const small = document.createElement("canvas");
  Object.assign(small, { width, height });
  const context = small.getContext("2d");
  const pixels = context.createImageData(width, height);
  const rgb = bytes(image);
  for (let i = 0; i < width * height; i += 1) pixels.data.set([rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], 255], 4 * i);
  for (const { x, y, rgb: colour } of edits) pixels.data.set([...colour, 255], 4 * (y * width + x));
  context.putImageData(pixels, 0, 0);
  const scale = SIDE / Math.max(width, height);
  Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
  const large = canvas.getContext("2d");
  large.imageSmoothingEnabled = false;
  large.drawImage(small, 0, 0, canvas.width, canvas.height);
  const many = all.length > MANY.pixels;
  if (square && edits.length) frame(large, square, scale);
  else if (many && !square) enlarge(large, edits, scale);
  else if (!square) for (const { x, y } of edits) ring(large, (x + 0.5) * scale, (y + 0.5) * scale, Math.max(scale, 12));
  if (!all.length || Math.max(width, height) <= SMALL) return;
  if (square && square.side * scale > SEEN) return;
  if (many) lens(large, small, densest(all, MANY.reach), MANY.reach, scale);
  else lens(large, small, all[0], LENS.reach);
}

// Each of many pixels in its own colour, larger than it is: rings would hide the picture.
function enlarge(context, edits, scale) {
  const size = (1 + 2 * MANY.grow) * scale;
  for (const { x, y, rgb } of edits) {
    context.fillStyle = `rgb(${rgb.join(", ")})`;
    context.fillRect((x - MANY.grow) * scale, (y - MANY.grow) * scale, size, size);
  }
}

// The edit with the most others within reach.
function densest(edits, reach) {
  const near = (a, b) => Math.max(Math.abs(a.x - b.x), Math.abs(a.y - b.y)) <= reach;
  const counts = edits.map((one) => edits.filter((other) => near(one, other)).length);
  return edits[counts.indexOf(Math.max(...counts))];
}

// The neighbourhood of a pixel, magnified, in the corner that is farthest from it.
// With `scale`, what it shows is framed in the picture; else the pixel in the lens.
function lens(context, small, { x, y }, reach, scale) {
  const { canvas } = context;
  const side = Math.min(canvas.width, canvas.height) * LENS.share;
  const cell = side / (2 * reach + 1);
  const corner = (at, within, length) => (at < within / 2 ? length - side - LENS.gap : LENS.gap);
  const left = corner(x, small.width, canvas.width);
  const top = corner(y, small.height, canvas.height);
  context.fillStyle = "#808080"; // what lies beyond the picture's edge
  context.fillRect(left, top, side, side);
  const from = [x - reach, y - reach, 2 * reach + 1, 2 * reach + 1];
  context.drawImage(small, ...from, left, top, side, side);
  for (const [colour, width] of [["#000", 7], ["#fff", 3]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: width });
    context.strokeRect(left, top, side, side);
    if (scale) context.strokeRect(...from.map((at) => at * scale));
    else context.strokeRect(left + reach * cell - 2, top + reach * cell - 2, cell + 4, cell + 4);
  }
}

// A patch, just outside of it.
function frame(context, { x, y, side }, scale) {
  for (const [colour, width] of [["#000", 7], ["#fff", 3]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: width });
    context.strokeRect(x * scale - 4, y * scale - 4, side * scale + 8, side * scale + 8);
  }
}

// White within black: seen on every picture.
function ring(context, x, y, radius) {
  for (const [colour, width] of [["#000", 7], ["#fff", 3]]) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    Object.assign(context, { strokeStyle: colour, lineWidth: width });
    context.stroke();
  }
}

const PICTURES = new Map(); // by key: the last picture that came; the polls of a run send it at first only
let toneBefore; // the tone of the marked result that the page had last; its element may be another

// A search that was begun far below, as on a phone, comes into sight; it may have ended already.
function show(root) {
  const { top, bottom } = root.getBoundingClientRect();
  if (top < 0 || bottom > window.innerHeight) root.scrollIntoView({ block: "center" });
}

export default function mount({ parentElement, data }) {
  const root = parentElement.querySelector(".result");
  if (!root || !data) return;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  root.toggleAttribute("data-words", !data.width);
  if (data.image) PICTURES.set(data.key, data.image);
  const shown = { ...data, image: data.width ? PICTURES.get(data.key) : undefined };
  if (shown.image) draw(part("before"), shown, []);
  if (shown.image) draw(part("after"), { ...shown, image: data.changed || shown.image }, data.edits);
  part("before").setAttribute("aria-label", data.captions[0] || "The picture");
  part("after").setAttribute("aria-label", `The picture as it was changed, ${data.captions[1]}`);
  part("beforeWords").textContent = data.captions[0];
  part("afterWords").textContent = data.captions[1];
  part("mark").textContent = data.marked ? MARKS[data.tone] : "";
  part("verdict").textContent = data.verdict;
  part("detail").textContent = data.detail;
  barRows(part("bars"), data.bars.map(({ name }) => name)).forEach((row, k) => {
    const { name, value, before, rival } = data.bars[k];
    showBar(row, name, value, before, before === null ? "" : `, before ${finePercent(before)}`);
    row.toggleAttribute("data-wrong", Boolean(rival));
  });
  root.dataset.tone = data.tone;
  const begun = data.tone !== "plain" && toneBefore !== "live" && toneBefore !== data.tone;
  if (data.marked && toneBefore && begun) show(root);
  if (data.marked) toneBefore = data.tone;
  const said = data.tone === "live" ? "" : data.verdict;
  if (part("live").textContent !== said) part("live").textContent = said;
}
