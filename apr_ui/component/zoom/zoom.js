
// ---------------------------------------------------------------- Zoom

// A board is a picture on a canvas: its `data` with width and height, its `parts`, and `wholeCell`,
// the CSS pixels of one of the picture's when all of it is shown. This adds the view: `zoom`, and the
// `left` and `top` from which on it shows the picture, a pixel of which then takes `cell`. Nothing
// here draws. A board that is `fixed` is not zoomed.
const SMALL = 64; // pixels of a side up to which each is seen without zoom
const LARGEST_CELL = 28; // CSS pixels of one of the picture's, zoomed in as far as can be
const ZOOM_STEP = 1.5; // how much a key or a button zooms
const DRAG_FROM = 5; // CSS pixels that a pointer moves before it drags
const WHOLE_VIEW = { zoom: 1, left: 0, top: 0, wholeCell: 1, pinch: null, dragFrom: null, dragging: false };

const isLarge = ({ data }) => Math.max(data.width, data.height) > SMALL;
const mostZoom = (board) => (board.fixed ? 1 : Math.max(1, LARGEST_CELL / board.wholeCell));
const limit = (value, low, high) => Math.min(high, Math.max(low, value));

// The view with its left and top corner where they can be.
function setView(board, zoom, left, top) {
  const { width, height } = board.data;
  board.zoom = limit(zoom, 1, mostZoom(board));
  board.cell = board.wholeCell * board.zoom;
  board.left = limit(left, 0, width - width / board.zoom);
  board.top = limit(top, 0, height - height / board.zoom);
}

// What is drawn from now on is in CSS pixels of the whole picture, of which the view is seen.
function drawInView({ context, ratio, left, top, cell }) {
  context.setTransform(ratio, 0, 0, ratio, -left * cell * ratio, -top * cell * ratio);
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

// How much a key zooms, if it does.
function zoomOfKey(board, key) {
  return board.fixed ? undefined : { "+": ZOOM_STEP, "=": ZOOM_STEP, "-": 1 / ZOOM_STEP, 0: 1 / mostZoom(board) }[key];
}

// True if it zooms: the wheel scrolls the page where there is nothing to zoom, and over a small picture.
function wheel(board, event) {
  if (!isLarge(board)) return false;
  const [x, y] = shareOf(board, event);
  const lines = event.deltaMode === 1 ? 30 : 1;
  const zooms = zoomAt(board, Math.exp(-event.deltaY * lines * 0.002), x, y);
  if (zooms) event.preventDefault();
  return zooms;
}

function shareOf(board, { clientX, clientY }) {
  const box = board.parts.canvas.getBoundingClientRect();
  return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
}

function startDrag(board, { clientX, clientY }) {
  Object.assign(board, { dragging: false, dragFrom: { clientX, clientY, left: board.left, top: board.top } });
}

// The pointer drags what is shown of a picture; true while it does.
function drag(board, event) {
  const from = board.dragFrom;
  if (!from || board.zoom === 1 || !(event.buttons & 1)) return false;
  const [right, down] = [event.clientX - from.clientX, event.clientY - from.clientY];
  if (!board.dragging && Math.hypot(right, down) < DRAG_FROM) return false;
  board.dragging = true;
  setView(board, board.zoom, from.left - right / board.cell, from.top - down / board.cell);
  return true;
}

function endDrag(board) {
  Object.assign(board, { dragging: false, dragFrom: null });
}

// Two fingers, apart or together; true while they are down.
function pinch(board, event) {
  const [one, other] = event.touches;
  if (!other || board.fixed) {
    board.pinch = null;
    return false;
  }
  event.preventDefault();
  endDrag(board);
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
  return true;
}

function renderZoom(board) {
  const { parts, root, zoom, left, top } = board;
  parts.zoom.hidden = parts.zoomTip.hidden = board.fixed || !isLarge(board);
  parts.zoomed.textContent = `${Number(zoom.toFixed(1))} ×`;
  // aria-disabled, not disabled: a button that goes dead must not drop the keyboard's focus
  parts.zoomOut.setAttribute("aria-disabled", String(zoom <= 1));
  parts.zoomIn.setAttribute("aria-disabled", String(zoom >= mostZoom(board)));
  // One finger moves what is shown of the picture; of all of it, the page. Two fingers on the canvas
  // never zoom the page, also while it is still moving and events cannot be cancelled.
  const one = zoom > 1 ? "none" : "pan-x pan-y";
  parts.canvas.style.touchAction = board.fixed ? "" : one;
  Object.assign(root.dataset, { zoom, left, top });
}
