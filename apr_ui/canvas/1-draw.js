// The canvas: a picture of which pixels are tried by hand, with mouse, finger or keys.
// Streamlit calls the default export at the mount and again at every change of data.

const LARGEST = 480; // CSS pixels of the picture's side
const LOUPE = { reach: 3, scale: 3.4 }; // pixels each way around the aim, and how much larger
const LENS = { reach: 7, share: 0.36, below: 6 }; // the same for tiny cells; its share of the canvas
const LEAST_RING = 7; // CSS pixels of an edit's radius, or it would hide between the pixels

const rgbText = (rgb) => `rgb(${rgb.join(", ")})`;
const isLight = ([red, green, blue]) => 0.3 * red + 0.59 * green + 0.11 * blue > 140;

function decodePicture({ width, height, image }) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const rgb = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
  for (let i = 0; i < width * height; i += 1) {
    picture.data.set([rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
  return { canvas, at: (x, y) => [...rgb.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)] };
}

// A whole number of device pixels for each pixel of a small picture: no seams, no blur.
function fitCanvas(board) {
  const { canvas, stage } = board.parts;
  const { width, height } = board.data;
  const ratio = window.devicePixelRatio || 1;
  const side = Math.min(stage.clientWidth, LARGEST);
  const fitting = (side * ratio) / Math.max(width, height);
  const deviceCell = isLarge(board) ? fitting : Math.max(1, Math.floor(fitting));
  canvas.width = Math.round(deviceCell * width);
  canvas.height = Math.round(deviceCell * height);
  canvas.style.width = `${canvas.width / ratio}px`;
  canvas.style.height = `${canvas.height / ratio}px`;
  board.wholeCell = deviceCell / ratio;
  board.fixed = !isLarge(board);
  setView(board, board.zoom, board.left, board.top);
  board.context = canvas.getContext("2d");
  board.ratio = ratio;
}

// What stands in the picture, with the tries that the server has not answered yet.
function shownEdits({ data, pending }) {
  return pending.reduce((edits, { x, y, rgb }) => {
    const others = edits.filter((old) => old.x !== x || old.y !== y);
    return [...others.slice(0, data.pixels - 1), { x, y, rgb }];
  }, data.edits);
}

function strokeTwice(context, width, path) {
  for (const [extra, style] of [[2.5, "black"], [0, "white"]]) {
    context.beginPath();
    path();
    context.lineWidth = width + extra;
    context.strokeStyle = style;
    context.stroke();
  }
}

function drawPixels(board, edits) {
  const { context, cell, picture, data } = board;
  context.imageSmoothingEnabled = false;
  context.drawImage(picture.canvas, 0, 0, data.width * cell, data.height * cell);
  for (const { x, y, rgb } of edits) {
    context.fillStyle = rgbText(rgb);
    context.fillRect(x * cell, y * cell, cell, cell);
  }
}

// A dot where a pixel was tried before.
function drawTried({ context, cell, data }) {
  for (const [x, y] of data.tried) {
    context.beginPath();
    context.arc((x + 0.5) * cell, (y + 0.5) * cell, Math.max(1.8, cell * 0.2), 0, 2 * Math.PI);
    context.fillStyle = "white";
    context.strokeStyle = "black";
    context.lineWidth = 1;
    context.fill();
    context.stroke();
  }
}

function drawRings({ context, cell }, edits) {
  for (const { x, y } of edits) {
    const radius = Math.max(cell * 1.05, LEAST_RING);
    strokeTwice(context, 2, () => context.arc((x + 0.5) * cell, (y + 0.5) * cell, radius, 0, 2 * Math.PI));
  }
}

// The square that will be tried, filled with the colour that it will have.
function drawAim(board) {
  const { context, cell, hover, cursor, focused } = board;
  const { x, y } = hover ?? cursor;
  if (hover || focused) {
    context.fillStyle = rgbText(board.colours[board.chosen].rgb);
    context.fillRect(x * cell, y * cell, cell, cell);
  }
  strokeTwice(context, 1.5, () => context.rect(x * cell - 1, y * cell - 1, cell + 2, cell + 2));
}

// A word beside the pixel that the hint is on: colour is not the only sign.
function drawHint(board) {
  const { context, cell, data } = board;
  if (!data.hint) return;
  const { x, y, word, mark } = data.hint;
  const text = `${mark} ${word}`;
  context.font = `600 ${Math.max(13, cell * 1.1)}px ${board.font}`;
  const [width, height] = [context.measureText(text).width + 14, Math.max(22, cell * 1.7)];
  const right = (x + 1.8) * cell + width < data.width * cell; // hints are of pictures that fit
  const left = right ? (x + 1.8) * cell : Math.max(0, (x - 0.8) * cell - width);
  const top = Math.min(Math.max(0, (y + 0.5) * cell - height / 2), data.height * cell - height);
  context.beginPath();
  context.roundRect(left, top, width, height, height / 2);
  Object.assign(context, { fillStyle: "#14171c", strokeStyle: "white", lineWidth: 1.5 });
  context.fill();
  context.stroke();
  Object.assign(context, { fillStyle: "white", textBaseline: "middle" });
  context.fillText(text, left + 7, top + height / 2 + 1);
}

// Under a finger, or where the pixels are tiny: the neighbourhood of the aim, larger, in the upper
// corner that the aim leaves free.
function drawLoupe(board, edits) {
  const { context, cell, wholeCell, data, aiming, hover, focused, picture } = board;
  const tiny = cell < LENS.below;
  if (!(aiming && hover) && !(tiny && (hover || focused))) return;
  const { x, y } = aim(board);
  const whole = data.width * wholeCell;
  const reach = tiny ? LENS.reach : LOUPE.reach;
  const count = 2 * reach + 1;
  const size = tiny ? (whole * LENS.share) / count : Math.min(cell * LOUPE.scale, whole / 2 / count);
  const side = size * count;
  const left = (x + 0.5 - board.left) * cell < whole / 2 ? whole - side : 0;
  context.fillStyle = "#808080";
  context.fillRect(left, 0, side, side);
  context.drawImage(picture.canvas, x - reach, y - reach, count, count, left, 0, side, side);
  for (const edit of edits) {
    const [right, down] = [edit.x - x + reach, edit.y - y + reach];
    if (right < 0 || down < 0 || right >= count || down >= count) continue;
    context.fillStyle = rgbText(edit.rgb);
    context.fillRect(left + right * size, down * size, size, size);
  }
  const middle = reach * size;
  context.fillStyle = rgbText(board.colours[board.chosen].rgb);
  context.fillRect(left + middle, middle, size, size);
  strokeTwice(context, 2, () => context.rect(left + middle, middle, size, size));
  strokeTwice(context, 2, () => context.rect(left + 1, 1, side - 2, side - 2));
}

function draw(board) {
  if (!board.context) return;
  const edits = shownEdits(board);
  const { context, ratio } = board;
  drawInView(board);
  drawPixels(board, edits);
  drawTried(board);
  drawRings(board, edits);
  drawAim(board);
  drawHint(board);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawLoupe(board, edits);
}
