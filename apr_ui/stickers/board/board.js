// The board: a picture with a sticker on it, which is dragged, turned and resized.
// What it shows is its own until the server has answered it: `sent` counts what was told.

const BOARDS = new WeakMap(); // root element -> board
const SIDE = 448; // canvas pixels of the picture's longer side, at least
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const MOVE = 0.02; // of the picture, by an arrow key
const SIZES = { "+": 1.1, "=": 1.1, "-": 1 / 1.1 };
const TURNS = { "[": -10, "]": 10 };
const REST_MS = 150; // after the last key or button

const limit = (value, low, high) => Math.min(high, Math.max(low, value));

function loaded(board, part, png) {
  if (board[part].dataset.png === png) return;
  board[part].dataset.png = png;
  board[part].onload = () => render(board);
  board[part].src = `data:image/png;base64,${png}`;
}

function render(board) {
  const { canvas, data, view, picture, sticker } = board;
  if (!picture.complete || !sticker.complete) return;
  const scale = Math.max(1, Math.ceil(SIDE / Math.max(data.width, data.height)));
  const [width, height] = [data.width * scale, data.height * scale];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  const side = view.size * Math.min(width, height);
  pen.imageSmoothingEnabled = false;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.drawImage(picture, 0, 0, width, height);
  pen.translate(view.across * width, view.down * height);
  pen.rotate((view.turn * Math.PI) / 180);
  pen.drawImage(sticker, -side / 2, -side / 2, side, side);
}

function change(board, changes) {
  Object.assign(board.view, changes);
  board.view.across = limit(board.view.across, 0, 1);
  board.view.down = limit(board.view.down, 0, 1);
  board.view.size = limit(board.view.size, board.data.smallest, board.data.largest);
  board.view.turn = ((((board.view.turn + 180) % 360) + 360) % 360) - 180;
  render(board);
}

function tell(board) {
  clearTimeout(board.resting);
  board.sent += 1;
  board.setStateValue("view", { ...board.view, n: board.sent });
}

function tellSoon(board) {
  clearTimeout(board.resting);
  board.resting = setTimeout(() => tell(board), REST_MS);
}

function shareOf(board, event) {
  const box = board.canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

function isOnSticker(board, event) {
  const { data, view } = board;
  const [across, down] = shareOf(board, event);
  const half = (view.size * Math.min(data.width, data.height)) / 2;
  return Math.abs(across - view.across) * data.width < half && Math.abs(down - view.down) * data.height < half;
}

// A finger beside the sticker scrolls the page; a click there brings the sticker.
function onDown(board, event) {
  if (!event.isPrimary) return;
  const inside = isOnSticker(board, event);
  if (event.pointerType === "touch" && !inside) return;
  board.canvas.setPointerCapture(event.pointerId);
  const [across, down] = shareOf(board, event);
  board.grip = inside ? [board.view.across - across, board.view.down - down] : [0, 0];
  onMove(board, event);
}

function onMove(board, event) {
  if (!board.grip) return;
  const [across, down] = shareOf(board, event);
  change(board, { across: across + board.grip[0], down: down + board.grip[1] });
}

function onUp(board) {
  if (!board.grip) return;
  board.grip = null;
  tell(board);
}

// What a key does, or the button for it; whether it does anything.
function act(board, key) {
  const { view } = board;
  const [right, below] = MOVES[key] ?? [0, 0];
  if (right || below) change(board, { across: view.across + MOVE * right, down: view.down + MOVE * below });
  else if (SIZES[key]) change(board, { size: view.size * SIZES[key] });
  else if (TURNS[key]) change(board, { turn: view.turn + TURNS[key] });
  else return false;
  tellSoon(board);
  return true;
}

function onKey(board, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return; // the browser's own
  if (act(board, event.key)) event.preventDefault();
}

function onTouch(board, event) {
  if (isOnSticker(board, event.touches[0])) event.preventDefault(); // it would scroll the page
}

function newBoard(root, sent) {
  const canvas = root.querySelector("canvas");
  const board = { canvas, picture: new Image(), sticker: new Image(), sent, grip: null, view: {} };
  canvas.addEventListener("pointerdown", (event) => onDown(board, event));
  canvas.addEventListener("pointermove", (event) => onMove(board, event));
  canvas.addEventListener("pointerup", () => onUp(board));
  canvas.addEventListener("pointercancel", () => onUp(board));
  canvas.addEventListener("touchstart", (event) => onTouch(board, event), { passive: false });
  canvas.addEventListener("keydown", (event) => onKey(board, event));
  root.querySelectorAll("button").forEach((button) => {
    button.addEventListener("click", () => act(board, button.dataset.key));
  });
  return board;
}

export default function mount({ parentElement, data, setStateValue }) {
  const root = parentElement.querySelector(".board");
  if (!BOARDS.has(root)) BOARDS.set(root, newBoard(root, data.answered));
  const board = BOARDS.get(root);
  Object.assign(board, { data, setStateValue });
  if (data.answered >= board.sent && !board.grip) {
    board.sent = data.answered;
    board.view = { ...data.view };
  }
  board.canvas.setAttribute("aria-label", data.title);
  loaded(board, "picture", data.picture);
  loaded(board, "sticker", data.sticker);
  render(board);
}
