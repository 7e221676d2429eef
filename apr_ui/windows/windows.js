// The windows: which places of each layer's map the pixel under the pointer changes, or the one
// that the arrow keys chose.

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const MOST_LINES = 32; // of more places, a grid would be all lines

const clamp = (value, high) => Math.min(high, Math.max(0, value));

function add(parent, name, className = "") {
  const made = document.createElement(name);
  made.className = className;
  parent.append(made);
  return made;
}

// A rectangle of places, as a part of a map of so many rows and columns.
function put(mark, [rows, columns], [top, left], [height, width]) {
  Object.assign(mark.style, {
    top: `${(100 * top) / rows}%`,
    left: `${(100 * left) / columns}%`,
    height: `${(100 * height) / rows}%`,
    width: `${(100 * width) / columns}%`,
  });
}

function draw(canvas, { width, height, image }) {
  const rgb = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const made = context.createImageData(width, height);
  for (let i = 0; i < width * height; i += 1) made.data.set([...rgb.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  context.putImageData(made, 0, 0);
}

function point(root, [x, y]) {
  const { data } = root;
  root.pixel = [x, y];
  put(root.pointed, [data.height, data.width], [y, x], [1, 1]);
  root.said.textContent = `Pixel (${x}, ${y})`;
  data.stages.forEach((stage, number) => {
    const { map, window } = root.tiles[number];
    const first = [stage.rows[y], stage.columns[x]];
    const [bottom, right] = first.map((place, axis) => place + stage.window[axis] - 1);
    put(window, stage.size, first, stage.window);
    const where = `rows ${first[0]} to ${bottom}, columns ${first[1]} to ${right}`;
    map.setAttribute("aria-label", `${stage.title}: the pixel changes ${where}`);
  });
}

function under(event, { place, data }) {
  const { left, top, width, height } = place.getBoundingClientRect();
  return [
    clamp(Math.floor(((event.clientX - left) / width) * data.width), data.width - 1),
    clamp(Math.floor(((event.clientY - top) / height) * data.height), data.height - 1),
  ];
}

function onKey(event, root) {
  const move = MOVES[event.key];
  if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const [x, y] = root.pixel;
  point(root, [clamp(x + move[0], root.data.width - 1), clamp(y + move[1], root.data.height - 1)]);
}

function build(root) {
  const figure = add(root, "figure", "picture");
  root.place = add(figure, "div", "place");
  root.canvas = add(root.place, "canvas");
  root.pointed = add(root.place, "i", "pointed");
  const caption = add(figure, "figcaption");
  root.said = add(caption, "b");
  root.hint = add(caption, "span");
  root.list = add(root, "ol");
  root.said.setAttribute("aria-live", "polite");
  root.canvas.setAttribute("aria-hidden", "true");
  root.place.tabIndex = 0;
  root.place.setAttribute("role", "application");
  root.place.setAttribute("aria-roledescription", "picture; the arrow keys choose a pixel");
  for (const name of ["pointerdown", "pointermove"]) {
    root.place.addEventListener(name, (event) => point(root, under(event, root)));
  }
  root.place.addEventListener("keydown", (event) => onKey(event, root));
}

function tile(list, stage) {
  const figure = add(add(list, "li"), "figure");
  const map = add(figure, "div", stage.whole ? "map whole" : "map");
  const [rows, columns] = stage.size;
  map.style.aspectRatio = `${columns} / ${rows}`;
  map.setAttribute("role", "img");
  if (Math.max(rows, columns) > MOST_LINES) map.style.backgroundImage = "none";
  else map.style.backgroundSize = `${100 / columns}% 100%, 100% ${100 / rows}%`;
  const caption = add(figure, "figcaption");
  add(caption, "b").textContent = stage.title;
  for (const line of stage.lines) add(caption, "div").textContent = line;
  return { map, window: add(map, "i") };
}

export default function mount({ parentElement, data }) {
  const root = parentElement.querySelector(".windows");
  if (!root.list) build(root);
  const moved = String(root.data?.pixel) !== String(data.pixel);
  root.data = data;
  root.place.setAttribute("aria-label", data.label);
  root.place.style.aspectRatio = `${data.width} / ${data.height}`;
  root.hint.textContent = data.hint;
  root.list.replaceChildren();
  root.tiles = data.stages.map((stage) => tile(root.list, stage));
  draw(root.canvas, data);
  point(root, moved ? data.pixel : root.pixel);
}
