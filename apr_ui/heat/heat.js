// The heat: maps over their pictures. The pixel under the pointer, or the one that the arrow keys
// chose, is marked on every map of the page and its value read out, so that maps can be compared.

// Both are told apart in grey: the first by lightness, the second from a pale middle outwards.
const RISING = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const SIGNED = [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]];
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SHOWN = new Set(); // roots on the page, whose marks move together

const bytes = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
const stops = (data) => (data.signed ? SIGNED : RISING);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

function words(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size < 0.001 || size >= 10000 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
}

function colour(data, value) {
  const known = stops(data);
  const share = (value - data.low) / (data.high - data.low || 1);
  const at = clamp(share, 0, 0.9999) * (known.length - 1);
  const [below, above] = [known[Math.floor(at)], known[Math.floor(at) + 1]];
  return below.map((from, i) => from + (above[i] - from) * (at % 1));
}

function draw({ canvas, picture, rgb, values }, data) {
  canvas.width = picture.width;
  canvas.height = picture.height;
  const context = canvas.getContext("2d");
  const made = context.createImageData(picture.width, picture.height);
  const opacity = values.length ? data.opacity : 0;
  for (let i = 0; i < picture.width * picture.height; i += 1) {
    const over = opacity ? colour(data, values[i]) : [0, 0, 0];
    over.forEach((part, c) => (made.data[4 * i + c] = (1 - opacity) * rgb[3 * i + c] + opacity * part));
    made.data[4 * i + 3] = 255;
  }
  context.putImageData(made, 0, 0);
}

function put(mark, picture, [x, y]) {
  Object.assign(mark.style, {
    left: `${(100 * x) / picture.width}%`,
    top: `${(100 * y) / picture.height}%`,
    width: `${100 / picture.width}%`,
    height: `${100 / picture.height}%`,
  });
}

function add(parent, name, className = "") {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

// Every map on the page shows the pixel, null for none; those of another size show none.
function point(place, width, height) {
  for (const root of SHOWN) {
    if (!root.isConnected) SHOWN.delete(root);
    else root.maps.forEach((map) => show(map, map.picture.width === width && map.picture.height === height ? place : null));
  }
}

function show(map, place) {
  map.place = place;
  map.pointed.hidden = !place;
  if (place) put(map.pointed, map.picture, place);
  map.said.textContent = place ? `(${place.join(", ")}): ${reading(map, place)}` : "";
  map.said.toggleAttribute("data-high", Boolean(place) && place[1] > map.picture.height / 2);
}

// The map's value at a pixel; where there is no map, the picture's colour.
function reading({ values, rgb, picture }, [x, y]) {
  const at = y * picture.width + x;
  return values.length ? words(values[at]) : `rgb(${rgb.subarray(3 * at, 3 * at + 3).join(", ")})`;
}

function under(event, { box, picture }) {
  const { left, top, width, height } = box.getBoundingClientRect();
  return [
    clamp(Math.floor(((event.clientX - left) / width) * picture.width), 0, picture.width - 1),
    clamp(Math.floor(((event.clientY - top) / height) * picture.height), 0, picture.height - 1),
  ];
}

function onKey(event, map) {
  const move = MOVES[event.key];
  if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const { width, height } = map.picture;
  const [x, y] = map.place ?? [width >> 1, height >> 1];
  const next = map.place ? [clamp(x + move[0], 0, width - 1), clamp(y + move[1], 0, height - 1)] : [x, y];
  point(next, width, height);
}

function makeMap(root) {
  const figure = add(root, "figure");
  const box = add(figure, "div", "place");
  const map = { box, canvas: add(box, "canvas"), pointed: add(box, "i", "pointed"), place: null };
  map.said = add(box, "p");
  map.caption = add(figure, "figcaption");
  box.tabIndex = 0;
  box.setAttribute("role", "application");
  box.setAttribute("aria-roledescription", "map; the arrow keys choose a pixel");
  map.canvas.setAttribute("aria-hidden", "true");
  map.pointed.hidden = true;
  const size = () => [map.picture.width, map.picture.height];
  for (const name of ["pointerdown", "pointermove"]) {
    box.addEventListener(name, (event) => point(under(event, map), ...size()));
  }
  box.addEventListener("pointerleave", () => point(null));
  box.addEventListener("keydown", (event) => onKey(event, map));
  box.addEventListener("focus", () => map.said.setAttribute("aria-live", "polite"));
  box.addEventListener("blur", () => map.said.removeAttribute("aria-live"));
  return map;
}

function fill(map, picture, data) {
  map.picture = picture;
  map.rgb = bytes(picture.image);
  map.values = new Float32Array(bytes(picture.values).buffer);
  map.caption.textContent = picture.caption;
  map.box.setAttribute("aria-label", picture.alt);
  draw(map, data);
  map.box.querySelectorAll(".ring").forEach((ring) => ring.remove());
  for (const edit of picture.edits) put(add(map.box, "i", "ring"), picture, edit);
  show(map, map.place);
}

function scale(root, data) {
  const [low, bar, high] = root.scale.children;
  const known = stops(data).map((rgb) => `rgb(${rgb.join(" ")})`);
  low.textContent = `${words(data.low)}${data.signed ? " against" : ""}`;
  high.textContent = `${words(data.high)}${data.signed ? " for" : ""}`;
  bar.style.background = `linear-gradient(to right, ${known.join(", ")})`;
  root.scale.hidden = !data.opacity || !data.pictures.some((picture) => picture.values);
}

export default function mount({ parentElement, data }) {
  const root = parentElement.querySelector(".heat");
  if (root.maps?.length !== data.pictures.length) {
    root.replaceChildren();
    root.maps = data.pictures.map(() => makeMap(root));
    root.scale = add(root, "div", "scale");
    for (const name of ["span", "b", "span"]) add(root.scale, name);
  }
  SHOWN.add(root);
  root.maps.forEach((map, i) => fill(map, data.pictures[i], data));
  scale(root, data);
}
