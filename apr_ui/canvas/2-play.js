// ---------------------------------------------------------------- Colours

const BOARDS = new WeakMap(); // root element -> board
const KEPT = new Map(); // component key -> what a remount finds again: cursor, chosen colour
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const LEAPS = 8; // with Shift, an arrow key moves so much of what is shown
const HOLD_MS = 300; // a finger that rests so long is aiming

function renderSwatches(board) {
  const { swatches } = board.parts;
  while (swatches.children.length < board.colours.length) swatches.append(newSwatch(board));
  board.colours.forEach(({ name, rgb }, number) => {
    const button = swatches.children[number];
    const words = `${name}, ${rgbText(rgb)}`;
    button.style.background = rgbText(rgb);
    button.style.setProperty("--mark", isLight(rgb) ? "black" : "white");
    button.title = `${words} (key ${number + 1})`;
    button.setAttribute("aria-label", words);
    button.setAttribute("aria-checked", String(number === board.chosen));
    button.tabIndex = number === board.chosen ? 0 : -1;
  });
}

function newSwatch(board) {
  const button = document.createElement("button");
  const number = board.parts.swatches.children.length;
  button.type = "button";
  button.dataset.testid = `canvas-colour-${number}`;
  button.setAttribute("role", "radio");
  button.addEventListener("click", () => choose(board, number));
  button.addEventListener("keydown", (event) => {
    const [right, down] = STEPS[event.key] ?? [0, 0];
    if (!right && !down) return;
    event.preventDefault();
    const count = board.colours.length;
    choose(board, (number + right + down + count) % count);
    board.parts.swatches.children[board.chosen].focus();
  });
  return button;
}

function choose(board, number) {
  if (number >= board.colours.length) return;
  board.chosen = number;
  render(board);
}

// ---------------------------------------------------------------- Aim and try

const aim = (board) => board.hover ?? board.cursor;

function place(board, x, y) {
  const { width, height } = board.data;
  board.cursor = { x: Math.min(width - 1, Math.max(0, x)), y: Math.min(height - 1, Math.max(0, y)) };
}

function pixelAt(board, event) {
  const { width, height } = board.data;
  const [across, down] = shareOf(board, event);
  if (across < 0 || down < 0 || across >= 1 || down >= 1) return null;
  const x = Math.floor(board.left + (across * width) / board.zoom);
  const y = Math.floor(board.top + (down * height) / board.zoom);
  return x >= 0 && y >= 0 && x < width && y < height ? { x, y } : null;
}

// By keys and buttons: towards the pixel that is aimed at.
function zoomAtAim(board, factor) {
  const { width, height } = board.data;
  const { x, y } = aim(board);
  const share = (place, start, length) => limit(((place + 0.5 - start) * board.zoom) / length, 0, 1);
  zoomAt(board, factor, share(x, board.left, width), share(y, board.top, height));
  render(board);
}

function showCursor(board) {
  const { cursor, data, zoom, left, top } = board;
  const [across, down] = [data.width / zoom, data.height / zoom];
  const inside = (place, start, length) => limit(start, place + 1 - length, place);
  setView(board, zoom, inside(cursor.x, left, across), inside(cursor.y, top, down));
}

// All tries that were not answered yet go to the server together, so that none of a quick series
// is lost.
function tryPixel(board, x, y) {
  place(board, x, y);
  board.sent += 1;
  const rgb = board.colours[board.chosen].rgb;
  board.pending = [...board.pending, { n: board.sent, game: board.data.game, x, y, rgb }];
  board.setStateValue("tries", board.pending);
  render(board);
}

// A second click of a double click tells nothing that the first did not.
function onClick(board, event) {
  const at = pixelAt(board, event);
  if (board.held || !at) return;
  const { x, y } = board.cursor;
  if (event.detail > 1 && at.x === x && at.y === y) return;
  tryPixel(board, at.x, at.y);
}

function onPointerDown(board, event) {
  if (!event.isPrimary) return; // a second finger neither aims nor drags
  board.held = false;
  startDrag(board, event);
  if (event.pointerType === "mouse") return;
  board.hover = pixelAt(board, event);
  board.holding = setTimeout(() => {
    board.aiming = board.held = true;
    render(board);
  }, HOLD_MS);
}

function onPointerMove(board, event) {
  if (!board.aiming && drag(board, event)) {
    hold(board);
    render(board);
  }
  if (board.dragging || (event.pointerType !== "mouse" && !board.aiming)) return;
  board.hover = pixelAt(board, event);
  render(board);
}

// What the pointer does is no try, also when it ends.
function hold(board) {
  clearTimeout(board.holding);
  board.held = true;
}

function onPinch(board, event) {
  if (!pinch(board, event)) return;
  hold(board);
  Object.assign(board, { aiming: false, hover: null });
  render(board);
}

function onPointerEnd(board, event) {
  clearTimeout(board.holding);
  board.holding = 0;
  endDrag(board);
  const at = board.hover;
  if (board.aiming && at && event.type === "pointerup") tryPixel(board, at.x, at.y);
  if (event.pointerType !== "mouse" || event.type === "pointerleave") board.hover = null;
  board.aiming = false;
  render(board);
}

function onKey(board, event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const { x, y } = aim(board);
  const step = STEPS[event.key];
  const actions = {
    Enter: () => tryPixel(board, x, y),
    " ": () => tryPixel(board, x, y),
    h: () => board.data.hints && board.setTriggerValue("hint", { game: board.data.game, x, y }),
    Backspace: () => board.setTriggerValue("undo", board.data.game),
  };
  const factor = zoomOfKey(board, event.key);
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!step && !action && !factor && !/^[1-9]$/.test(event.key)) return;
  event.preventDefault();
  const leap = Math.max(1, Math.round(Math.max(board.data.width, board.data.height) / board.zoom / LEAPS));
  if (step) move(board, x, y, step, event.shiftKey ? leap : 1);
  else if (factor) zoomAtAim(board, factor);
  else if (!action) choose(board, Number(event.key) - 1);
  else if (!event.repeat) action();
}

function move(board, x, y, [right, down], leap) {
  place(board, x + right * leap, y + down * leap);
  board.hover = null;
  showCursor(board);
  board.parts.live.textContent = `x ${board.cursor.x}, y ${board.cursor.y}`;
  render(board);
}

// ---------------------------------------------------------------- What is shown

function renderPlace(board) {
  const { x, y } = aim(board);
  const now = shownEdits(board).find((edit) => edit.x === x && edit.y === y)?.rgb ?? board.picture.at(x, y);
  const next = board.colours[board.chosen];
  const square = (rgb) => Object.assign(document.createElement("i"), { style: `background: ${rgbText(rgb)}` });
  const words = document.createElement("b");
  words.textContent = `x ${x}, y ${y}`;
  board.parts.place.replaceChildren(words, square(now), "→", square(next.rgb), next.name);
}

function render(board) {
  if (!board.data) return;
  const { root, parts, data, cursor } = board;
  renderSwatches(board);
  renderPlace(board);
  renderZoom(board);
  parts.canvas.setAttribute("aria-label", data.title);
  parts.hintKey.hidden = !data.hints;
  Object.assign(root.dataset, {
    x: aim(board).x,
    y: aim(board).y,
    colour: board.chosen,
    pending: board.pending.length,
    edits: JSON.stringify(data.edits.map((edit) => [edit.x, edit.y, ...edit.rgb])),
    hint: data.hint?.word ?? "",
  });
  KEPT.set(board.key, { cursor, chosen: board.chosen });
  draw(board);
}

// ---------------------------------------------------------------- Mount, update, leave

function listen(board) {
  const { canvas, stage, zoomIn, zoomOut } = board.parts;
  const { signal } = board.ending;
  const on = (name, action, options = {}) => canvas.addEventListener(name, action, { signal, ...options });
  on("click", (event) => onClick(board, event));
  on("keydown", (event) => onKey(board, event));
  on("pointerdown", (event) => onPointerDown(board, event));
  on("pointermove", (event) => onPointerMove(board, event));
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) on(name, (event) => onPointerEnd(board, event));
  on("touchmove", (event) => board.aiming && event.preventDefault(), { passive: false });
  for (const name of ["touchstart", "touchmove", "touchend"]) on(name, (event) => onPinch(board, event), { passive: false });
  on("wheel", (event) => wheel(board, event) && render(board), { passive: false });
  zoomIn.addEventListener("click", () => zoomAtAim(board, ZOOM_STEP), { signal });
  zoomOut.addEventListener("click", () => zoomAtAim(board, 1 / ZOOM_STEP), { signal });
  on("contextmenu", (event) => (board.aiming || board.holding) && event.preventDefault());
  for (const name of ["focus", "blur"]) {
    on(name, () => {
      board.focused = canvas.matches(":focus-visible");
      render(board);
    });
  }
  board.resizing = new ResizeObserver(() => resize(board));
  board.resizing.observe(stage);
}

function resize(board) {
  if (!board.data || !board.parts.stage.clientWidth) return;
  fitCanvas(board);
  draw(board);
}

function create(root, key) {
  const parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  const font = getComputedStyle(root).fontFamily;
  const board = { root, parts, key, font, pending: [], sent: 0, hover: null, holding: 0, ending: new AbortController(), ...WHOLE_VIEW };
  listen(board);
  return board;
}

function update(board, data) {
  const first = !board.data;
  const other = first || board.data.image !== data.image;
  const own = first || String(board.data.own) === String(data.own) ? null : data.colours.length;
  board.data = data;
  board.colours = [...data.colours, { name: "your colour", rgb: data.own }];
  board.pending = board.pending.filter(({ n, game }) => n > data.acked && game === data.game);
  board.sent = Math.max(board.sent, data.acked);
  const middle = { x: Math.floor(data.width / 2), y: Math.floor(data.height / 2) };
  if (first) Object.assign(board, { cursor: middle, chosen: 0 }, KEPT.get(board.key));
  if (own !== null) board.chosen = own;
  board.chosen = Math.min(board.chosen, board.colours.length - 1);
  place(board, board.cursor.x, board.cursor.y); // of a larger picture, perhaps
  if (other) {
    board.picture = decodePicture(data);
    board.hover = null;
    board.zoom = 1;
    resize(board);
  }
  render(board);
}

function leave(board, root) {
  clearTimeout(board.holding);
  board.resizing.disconnect();
  board.ending.abort();
  BOARDS.delete(root);
}

export default function mount({ parentElement, data, key, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".board");
  if (!root || !data) return undefined;
  const board = BOARDS.get(root) ?? create(root, key);
  BOARDS.set(root, board);
  Object.assign(board, { setStateValue, setTriggerValue });
  update(board, data);
  return () => leave(board, root);
}
