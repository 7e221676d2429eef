
// ---------------------------------------------------------------- Zoom, by component/zoom

const PANS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const PAN_SHARE = 1 / 8; // of what is shown, that a key moves it by
const LARGEST_DOT = 9; // of the legend, which is 20 pixels high
const ZOOM_KEYS = "Plus - 0 Shift+ArrowLeft Shift+ArrowRight Shift+ArrowUp Shift+ArrowDown";

// One of many, or a picture in a loop, is too small a part of its page to be zoomed.
function setUpZoom(player) {
  const { root, data } = player;
  player.fixed = Boolean(data.compact || data.loop);
  if (!player.fixed) root.setAttribute("aria-keyshortcuts", `Space ArrowLeft ArrowRight ${ZOOM_KEYS}`);
}

function showZoom(player) {
  renderZoom(player);
  renderScaleSize(player);
  draw(player, performance.now());
}

// The legend's dots are as large as the picture's.
function renderScaleSize({ parts, cell }) {
  for (const dot of parts.scale.children) {
    dot.setAttribute("r", Math.min(LARGEST_DOT, dotRadius(Number(dot.dataset.p), cell)));
  }
}

// By keys and buttons: towards the middle of what is shown.
function zoomAtMiddle(player, factor) {
  zoomAt(player, factor, 0.5, 0.5);
  showZoom(player);
}

function pan(player, [right, down]) {
  const { data, zoom, left, top } = player;
  const [across, upright] = [(data.width / zoom) * PAN_SHARE, (data.height / zoom) * PAN_SHARE];
  setView(player, zoom, left + right * across, top + down * upright);
  showZoom(player);
}

// What a key does to the view, if anything.
function zoomAction(player, { key, shiftKey }) {
  const factor = zoomOfKey(player, key);
  if (factor) return () => zoomAtMiddle(player, factor);
  return shiftKey && player.zoom > 1 && PANS[key] ? () => pan(player, PANS[key]) : null;
}

function onPointerDown(player, event) {
  if (!event.isPrimary || player.zoom === 1) return; // a second finger does not drag
  player.parts.canvas.setPointerCapture(event.pointerId); // a drag may go beyond the picture
  startDrag(player, event);
}

function listenToZoom(player, on) {
  const { canvas, zoomIn, zoomOut } = player.parts;
  const showing = (act) => (event) => act(player, event) && showZoom(player);
  const active = { passive: false };
  on(canvas, "wheel", showing(wheel), active);
  for (const name of ["touchstart", "touchmove", "touchend"]) on(canvas, name, showing(pinch), active);
  on(canvas, "pointerdown", (event) => onPointerDown(player, event));
  on(canvas, "pointermove", showing(drag));
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) on(canvas, name, () => endDrag(player));
  on(zoomIn, "click", () => zoomAtMiddle(player, ZOOM_STEP));
  on(zoomOut, "click", () => zoomAtMiddle(player, 1 / ZOOM_STEP));
}
