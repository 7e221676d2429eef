// ---------------------------------------------------------------- Zoom

// A board shows `span` of the picture's pixels a side, from `left` and `top` on; all of a small one.
const SMALL = 64; // pixels of a side up to which each is seen without zoom
const LARGEST_CELL = 28; // CSS pixels of one of the picture's, zoomed in as far as can be
const STEP = 1.5; // how much a key or a button zooms
const DRAG_FROM = 5; // CSS pixels that a pointer moves before it drags

const isLarge = ({ data }) => Math.max(data.width, data.height) > SMALL;
const mostZoom = (board) => (isLarge(board) ? Math.max(1, LARGEST_CELL / board.wholeCell) : 1);
const limit = (value, low, high) => Math.min(high, Math.max(low, value));

// The view with its left and top corner where they can be.
function setView(board, zoom, left, top) {
  const { width, height } = board.data;
  board.zoom = limit(zoom, 1, mostZoom(board));
  board.cell = board.wholeCell * board.zoom;
  board.left = limit(left, 0, width - width / board.zoom);
  board.top = limit(top, 0, height - height / board.zoom);
}

// Zoom so that the place under (x, y), shares of the canvas, stays there.
function zoomAt(board, factor, x, y) {
  const { width, height } = board.data;
  const before = board.zoom;
  const after = limit(before * factor, 1, mostZoom(board));
  const left = board.left + x * width * (1 / before - 1 / after);
  const top = board.top + y * height * (1 / before - 1 / after);
  setView(board, after, left, top);
  return after !== before;
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

// The wheel scrolls the page where there is nothing to zoom.
function onWheel(board, event) {
  if (!isLarge(board)) return;
  const [x, y] = shareOf(board, event);
  const lines = event.deltaMode === 1 ? 30 : 1;
  if (zoomAt(board, Math.exp(-event.deltaY * lines * 0.002), x, y)) event.preventDefault();
  render(board);
}

function shareOf(board, { clientX, clientY }) {
  const box = board.parts.canvas.getBoundingClientRect();
  return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
}

// The pointer drags what is shown of a picture; true while it does.
function drag(board, event) {
  const from = board.dragFrom;
  if (!from || board.zoom === 1 || board.aiming || !(event.buttons & 1)) return false;
  const [right, down] = [event.clientX - from.clientX, event.clientY - from.clientY];
  if (!board.dragging && Math.hypot(right, down) < DRAG_FROM) return false;
  board.dragging = board.held = true;
  clearTimeout(board.holding);
  setView(board, board.zoom, from.left - right / board.cell, from.top - down / board.cell);
  return true;
}

// Two fingers, apart or together.
function onPinch(board, event) {
  const [one, other] = event.touches;
  if (!other || !isLarge(board)) {
    board.pinch = null;
    return;
  }
  event.preventDefault();
  clearTimeout(board.holding);
  Object.assign(board, { held: true, aiming: false, hover: null, dragFrom: null });
  const apart = Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  const middle = { clientX: (one.clientX + other.clientX) / 2, clientY: (one.clientY + other.clientY) / 2 };
  const [x, y] = shareOf(board, middle);
  if (board.pinch) {
    const { width, height } = board.data;
    const [right, down] = [x - board.pinch.x, y - board.pinch.y];
    setView(board, board.zoom, board.left - (right * width) / board.zoom, board.top - (down * height) / board.zoom);
    zoomAt(board, apart / board.pinch.apart, x, y);
  }
  board.pinch = { apart, x, y };
  render(board);
}

function renderZoom(board) {
  const { parts, zoom } = board;
  parts.zoom.hidden = parts.zoomTip.hidden = !isLarge(board);
  parts.zoomed.textContent = `${Number(zoom.toFixed(1))} ×`;
  parts.zoomOut.disabled = zoom <= 1;
  parts.zoomIn.disabled = zoom >= mostZoom(board);
  // one finger moves what is shown of the picture; of all of it, the page
  parts.canvas.style.touchAction = zoom > 1 ? "none" : "";
}
