// The player: a run of differential evolution, live or replayed, on one canvas.
// Streamlit calls the default export at the mount and again at every change of data.

const LARGEST = 480; // CSS pixels of the picture's side
const RUNS_KEPT = 12; // runs whose frames stay in memory
const SPEEDS = { slow: 1000, normal: 250, fast: 62 }; // ms a generation, in replay
const WALK_SPEEDS = { slow: 3000, normal: 1200, fast: 700 }; // ms a step, in slow motion
const FOLLOW_MS = 50; // a tick while catching up with the newest frame
const FOLLOW_STRIDES = 12; // the backlog is covered in about so many ticks
const ANNOUNCE_MS = 2000;
const WALK_TITLES = ["Choose", "Mutate", "Compare", "Keep or discard"];
const NO_WALK_FIRST = "The first generation is random: no candidate has parents yet. Go one generation forward to see one made.";
const NO_WALK = "No candidate was recorded step by step in this generation. Try the one before or after.";

const PLAYERS = new WeakMap(); // root element -> player
const RUNS = new Map(); // run id -> { frames: Map(generation -> frame), order: [generation] }

// ---------------------------------------------------------------- Data

function bytes(base64) {
  return Uint8Array.from(atob(base64 ?? ""), (letter) => letter.charCodeAt(0));
}

function decodeFrame(raw) {
  return { ...raw, xy: bytes(raw.xy), rgb: bytes(raw.rgb), p: bytes(raw.p), moved: bytes(raw.moved) };
}

function decodePicture(data) {
  const canvas = document.createElement("canvas");
  canvas.width = data.width;
  canvas.height = data.height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(data.width, data.height);
  const rgb = bytes(data.image);
  for (let i = 0; i < data.width * data.height; i += 1) {
    picture.data.set([rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
  return canvas;
}

// Frames live by run id, so that a page that remounts the player loses none of them.
function runStore(run) {
  const store = RUNS.get(run) ?? { frames: new Map(), order: [] };
  RUNS.delete(run);
  RUNS.set(run, store);
  while (RUNS.size > RUNS_KEPT) RUNS.delete(RUNS.keys().next().value);
  return store;
}

function merge(store, rawFrames) {
  for (const raw of rawFrames) {
    if (!store.frames.has(raw.generation)) store.frames.set(raw.generation, decodeFrame(raw));
  }
  store.order = [...store.frames.keys()].sort((a, b) => a - b);
}

const shownFrame = (player) => player.store.frames.get(player.shown);
const shownIndex = (player) => player.store.order.indexOf(player.shown);
const lastGeneration = (player) => player.store.order.at(-1);
const className = (player, label) => player.data.classes[label] ?? `class ${label}`;
const trueName = (player) => className(player, player.data.label);

function bestPixels(frame) {
  return Array.from({ length: frame.pixels }, (_, j) => {
    const i = frame.best * frame.pixels + j;
    return { xy: [...frame.xy.subarray(2 * i, 2 * i + 2)], rgb: [...frame.rgb.subarray(3 * i, 3 * i + 3)] };
  });
}

const isWinning = (player) =>
  player.data.status === "flipped" && !player.data.live && player.shown === lastGeneration(player);

// ---------------------------------------------------------------- Colour, size, place

// Blue to yellow, rising in lightness: told apart with any colour vision, and in grey.
const STOPS = [[14, 38, 104], [62, 92, 158], [150, 140, 142], [240, 160, 62], [255, 226, 66]];

function colour(p) {
  const at = Math.min(0.9999, Math.max(0, 1 - p)) * (STOPS.length - 1);
  const [low, high] = [STOPS[Math.floor(at)], STOPS[Math.floor(at) + 1]];
  const mixed = low.map((value, i) => Math.round(value + (high[i] - value) * (at % 1)));
  return `rgb(${mixed.join(", ")})`;
}

const outline = (p) => (p > 0.5 ? "rgba(255, 255, 255, 0.85)" : "rgba(0, 0, 0, 0.85)");
const dotRadius = (p, cell) => Math.max(1.6, cell * (0.15 + 0.25 * (1 - p)));

// The same slot always leans the same way: in [-0.3, 0.3) of a pixel.
function jitter(seed) {
  const wave = Math.sin(seed * 127.1 + 11.7) * 43758.5453;
  return (wave - Math.floor(wave) - 0.5) * 0.6;
}

const ease = (t) => 1 - (1 - t) ** 3;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

// ---------------------------------------------------------------- Words

const counted = new Intl.NumberFormat("en-US");
const rgbText = (rgb) => `rgb(${rgb.join(", ")})`;
const placeText = ({ xy, rgb }) => `(${xy.join(", ")}) ${rgbText(rgb)}`;

function percent(p) {
  const value = 100 * p;
  if (value > 0 && value < 0.5) return "<1 %";
  if (value < 100 && value >= 99.5) return ">99 %";
  return `${Math.round(value)} %`;
}

function timeText(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 90 ? `about ${Math.ceil(seconds)} s left` : `about ${Math.round(seconds / 60)} min left`;
}

function bestText(player, frame) {
  const leading = className(player, frame.best_label);
  const truth = `true class ${trueName(player)} ${percent(frame.best_true)}`;
  return `${truth}, leading ${leading} ${percent(frame.best_confidence)}`;
}

function progressText(player, frame) {
  const { generations, max_queries: most } = player.data;
  const queries = `${counted.format(frame.queries)} of ${counted.format(most)}`;
  return `Generation ${frame.generation} of ${generations} · queries ${queries}`;
}

function closestText(player) {
  const reached = player.store.order.map((generation) => player.store.frames.get(generation).best_true);
  return reached.length ? `; closest, ${percent(Math.min(...reached))} ${trueName(player)}` : "";
}

const HEADLINES = {
  queued: ({ data }) => (data.queue_place > 0 ? `Waiting: place ${data.queue_place} in the queue` : "Starting the search"),
  running: ({ data, following }) => (data.live || following ? "Searching" : "Replay"),
  flipped: (player) => {
    const last = player.store.frames.get(lastGeneration(player));
    return last ? `Flipped: ${trueName(player)} now reads as ${className(player, last.best_label)}` : "Flipped";
  },
  survived: (player) => `Survived ${counted.format(player.data.max_queries)} queries${closestText(player)}`,
  cancelled: (player) => `Cancelled${closestText(player)}`,
  misclassified: (player) => `Nothing to attack: the model already takes this ${trueName(player)} for something else`,
};

function headline(player) {
  const ended = !player.playing || player.shown === lastGeneration(player);
  const status = ended || player.data.status === "queued" ? player.data.status : "running";
  return (HEADLINES[status] ?? (() => status))(player);
}

function goneOnText(player) {
  const behind = player.data.live && !player.playing && player.shown < lastGeneration(player);
  return behind ? `The search has gone on to generation ${lastGeneration(player)}. Play catches up.` : "";
}

function replacedText(frame) {
  if (frame.generation === 0) return `${frame.p.length} candidates, placed at random`;
  const moved = frame.moved.reduce((sum, flag) => sum + flag, 0);
  return `${moved} of ${frame.p.length} candidates replaced by their children`;
}

function canvasText(player, frame) {
  const { width, height } = player.data;
  const picture = `Picture of ${trueName(player)}, ${width} by ${height} pixels.`;
  if (!frame) return `${picture} ${headline(player)}.`;
  const where = bestPixels(frame).map(placeText).join("; ");
  const found = isWinning(player) ? "The winning pixel" : `${frame.p.length} candidates; the best`;
  return `${picture} ${progressText(player, frame)}. ${found} at ${where}: ${bestText(player, frame)}.`;
}

// ---------------------------------------------------------------- Small DOM helpers

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function element(name, text = "") {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function drawn(name, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function setAll(target, attributes) {
  for (const [key, value] of Object.entries(attributes)) target.setAttribute(key, value);
}

function swatch(rgb, text) {
  const made = element("span");
  made.className = "swatch";
  const square = element("i");
  square.style.background = rgbText(rgb);
  made.append(square, text);
  return made;
}

// ---------------------------------------------------------------- The picture

function fitCanvas(player) {
  const { canvas, stage } = player.parts;
  const ratio = window.devicePixelRatio || 1;
  const side = Math.min(stage.clientWidth, LARGEST);
  const { width, height } = player.data;
  // A whole number of device pixels for each pixel of the picture: no seams, no blur.
  const deviceCell = Math.max(1, Math.floor((side * ratio) / Math.max(width, height)));
  canvas.width = deviceCell * width;
  canvas.height = deviceCell * height;
  canvas.style.width = `${canvas.width / ratio}px`;
  canvas.style.height = `${canvas.height / ratio}px`;
  player.cell = deviceCell / ratio;
  player.context = canvas.getContext("2d");
  player.context.setTransform(ratio, 0, 0, ratio, 0, 0);
}

// x, y (in pixels of the picture) and p of every dot, slot by slot
function dotsOf(frame) {
  const dots = new Float32Array(3 * frame.p.length * frame.pixels);
  for (let i = 0; i < dots.length / 3; i += 1) {
    dots[3 * i] = frame.xy[2 * i] + 0.5 + jitter(2 * i);
    dots[3 * i + 1] = frame.xy[2 * i + 1] + 0.5 + jitter(2 * i + 1);
    dots[3 * i + 2] = frame.p[Math.floor(i / frame.pixels)] / 255;
  }
  return dots;
}

function glideTo(player, frame, duration, single) {
  const target = dotsOf(frame);
  const now = performance.now();
  const from = player.glide ? dotsNow(player.glide, now) : target;
  const moves = !still() && from.length === target.length;
  // Fooled dots last, so that they lie on top.
  const order = Array.from({ length: target.length / 3 }, (_, i) => i);
  order.sort((a, b) => target[3 * b + 2] - target[3 * a + 2]);
  player.glide = { from: moves ? from : target, target, order, start: now, duration: moves ? duration : 0, single };
}

const glideTime = (glide, now) => (glide.duration ? clamp((now - glide.start) / glide.duration, 0, 1) : 1);

function dotsNow(glide, now) {
  const t = ease(glideTime(glide, now));
  return glide.target.map((value, i) => glide.from[i] + (value - glide.from[i]) * t);
}

function drawDot(context, cell, x, y, p) {
  context.beginPath();
  context.arc(x * cell, y * cell, dotRadius(p, cell), 0, 2 * Math.PI);
  context.fillStyle = colour(p);
  context.strokeStyle = outline(p);
  context.fill();
  context.stroke();
}

// A candidate that its child has just replaced draws a short trail to its new place.
function drawTrails(player, frame, dots, t) {
  const { context, cell, glide } = player;
  if (t >= 1 || !glide.single) return;
  context.lineWidth = 1.5;
  context.strokeStyle = `rgba(255, 255, 255, ${0.7 * (1 - t)})`;
  context.beginPath();
  for (let i = 0; i < dots.length / 3; i += 1) {
    if (!frame.moved[Math.floor(i / frame.pixels)]) continue;
    context.moveTo(glide.from[3 * i] * cell, glide.from[3 * i + 1] * cell);
    context.lineTo(dots[3 * i] * cell, dots[3 * i + 1] * cell);
  }
  context.stroke();
}

function drawDots(player, frame, now) {
  const { context, cell, glide } = player;
  const dots = dotsNow(glide, now);
  drawTrails(player, frame, dots, glideTime(glide, now));
  context.lineWidth = 1;
  for (const i of glide.order) drawDot(context, cell, dots[3 * i], dots[3 * i + 1], dots[3 * i + 2]);
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

function drawBestRing(player, { xy: [x, y] }) {
  const { context, cell } = player;
  strokeTwice(context, 2, () => context.arc((x + 0.5) * cell, (y + 0.5) * cell, cell * 0.95, 0, 2 * Math.PI));
}

// The winner: its cell in its own colour, framed, and aimed at from four sides.
function drawWinner(player, { xy: [x, y], rgb }) {
  const { context, cell } = player;
  const [left, top, middle] = [x * cell, y * cell, cell / 2];
  context.fillStyle = rgbText(rgb);
  context.fillRect(left, top, cell, cell);
  strokeTwice(context, 2, () => context.rect(left - 1, top - 1, cell + 2, cell + 2));
  strokeTwice(context, 3, () => {
    context.arc(left + middle, top + middle, cell * 1.7, 0, 2 * Math.PI);
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(left + middle + dx * cell * 1.7, top + middle + dy * cell * 1.7);
      context.lineTo(left + middle + dx * cell * 2.5, top + middle + dy * cell * 2.5);
    }
  });
}

function drawFrame(player, frame, now) {
  const winning = isWinning(player);
  player.context.globalAlpha = winning ? 0.4 : 1;
  drawDots(player, frame, now);
  player.context.globalAlpha = 1;
  for (const pixel of bestPixels(frame)) (winning ? drawWinner : drawBestRing)(player, pixel);
}

function draw(player, now) {
  const { context, cell, picture, data } = player;
  if (!context) return;
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, 0, 0, data.width * cell, data.height * cell);
  const frame = shownFrame(player);
  if (!frame) return;
  if (player.slow && frame.walk) drawWalk(player, frame, now);
  else drawFrame(player, frame, now);
}

// ---------------------------------------------------------------- Slow motion: the picture

const centre = (player, [x, y]) => [(x + 0.5) * player.cell, (y + 0.5) * player.cell];

function drawArrow(player, [x0, y0], [x1, y1], width) {
  const { context } = player;
  const angle = Math.atan2(y1 - y0, x1 - x0);
  const head = Math.min(11, Math.hypot(x1 - x0, y1 - y0));
  strokeTwice(context, width, () => {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    for (const side of [-0.5, 0.5]) {
      context.moveTo(x1, y1);
      context.lineTo(x1 - head * Math.cos(angle + side), y1 - head * Math.sin(angle + side));
    }
  });
}

function drawDashed(player, [x0, y0], [x1, y1]) {
  const { context } = player;
  context.setLineDash([5, 5]);
  strokeTwice(context, 1.5, () => {
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
  });
  context.setLineDash([]);
}

function drawMark(player, [x, y], rgb, size) {
  const { context, cell } = player;
  const radius = Math.max(5, cell * 0.55) * size;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = rgbText(rgb);
  context.fill();
  strokeTwice(context, 2, () => context.arc(x, y, radius, 0, 2 * Math.PI));
}

const overlap = (a, b) => a[0] < b[0] + b[2] && b[0] < a[0] + a[2] && a[1] < b[1] + b[3] && b[1] < a[1] + a[3];

// The first free place of eight around a mark, inside the picture
function labelBox(player, [x, y], width, taken) {
  const { cell, data } = player;
  const [height, gap] = [20, cell * 0.55 + 6];
  const [beside, middle] = [y - height / 2, x - width / 2];
  const choices = [
    [x + gap, beside], [x - gap - width, beside], [middle, y - gap - height], [middle, y + gap],
    [x + gap, y + gap], [x - gap - width, y + gap], [x + gap, y - gap - height], [x - gap - width, y - gap - height],
  ].map(([left, top]) => [left, top, width, height]);
  const inside = ([left, top]) =>
    left >= 2 && top >= 2 && left + width <= cell * data.width - 2 && top + height <= cell * data.height - 2;
  return choices.find((box) => inside(box) && !taken.some((other) => overlap(box, other))) ?? choices.find(inside) ?? choices[0];
}

function drawLabel(player, mark, taken) {
  const { context } = player;
  context.font = `600 13px ${player.font}`;
  const width = context.measureText(mark.label).width + 12;
  const box = labelBox(player, mark.at, width, taken);
  taken.push(box);
  context.fillStyle = "rgba(0, 0, 0, 0.82)";
  context.beginPath();
  context.roundRect(...box, 5);
  context.fill();
  context.fillStyle = "white";
  context.textBaseline = "middle";
  context.fillText(mark.label, box[0] + 6, box[1] + box[3] / 2 + 1);
}

function drawCross(player, [x, y]) {
  const reach = player.cell * 0.8;
  strokeTwice(player.context, 3, () => {
    for (const side of [-1, 1]) {
      player.context.moveTo(x - reach, y - side * reach);
      player.context.lineTo(x + reach, y + side * reach);
    }
  });
}

function drawCrowd(player, frame) {
  const { context, cell, data, store } = player;
  const before = store.frames.get(store.order[shownIndex(player) - 1]) ?? frame;
  const dots = dotsOf(before);
  context.fillStyle = "rgba(0, 0, 0, 0.35)";
  context.fillRect(0, 0, data.width * cell, data.height * cell);
  context.globalAlpha = 0.22;
  context.lineWidth = 1;
  for (let i = 0; i < dots.length; i += 3) drawDot(context, cell, dots[i], dots[i + 1], dots[i + 2]);
  context.globalAlpha = 1;
}

// Where the pieces of one pixel of the walk lie, in CSS pixels
function walkPlaces(player, walk, j) {
  const [r1, r2, r3] = walk.donors.map((donor) => centre(player, donor.xy[j]));
  const reach = [walk.weight * (r2[0] - r3[0]), walk.weight * (r2[1] - r3[1])];
  return { r1, r2, r3, reach, parent: centre(player, walk.parent.xy[j]), child: centre(player, walk.child.xy[j]) };
}

const shift = ([x, y], [dx, dy]) => [x + dx, y + dy];
const between = ([x0, y0], [x1, y1], t) => [x0 + (x1 - x0) * t, y0 + (y1 - y0) * t];

function drawMutation(player, places, step, t) {
  const { r1, r2, r3, reach, child } = places;
  drawDashed(player, r3, r2);
  const start = step === 0 ? r3 : between(r3, r1, t);
  const tip = shift(start, step === 0 ? between([0, 0], reach, t) : reach);
  // A child brought back inside the picture, or mixed with its parent, lies off the tip.
  const astray = Math.hypot(tip[0] - child[0], tip[1] - child[1]) > 1.5 * player.cell;
  if (step === 1 && t > 0.95 && astray) drawDashed(player, tip, child);
  drawArrow(player, start, tip, 3);
}

function walkMarks(walk, places, j, step, t) {
  const colours = walk.donors.map((donor) => donor.rgb[j]);
  const parent = { at: places.parent, rgb: walk.parent.rgb[j], label: "parent", lost: step === 3 && walk.kept };
  const child = { at: places.child, rgb: walk.child.rgb[j], label: "child", lost: step === 3 && !walk.kept };
  const donors = ["r1", "r2", "r3"].map((label, i) => ({ at: places[label], rgb: colours[i], label }));
  if (step === 0) return [parent, ...donors.map((mark) => ({ ...mark, size: ease(t) }))];
  if (step === 1) return t > 0.75 ? [parent, ...donors, child] : [parent, ...donors];
  return [parent, child];
}

function drawWalkPixel(player, walk, j, now) {
  const { step } = player.slow;
  const t = walkTime(player, now);
  const places = walkPlaces(player, walk, j);
  const strength = j === 0 ? 1 : 0.35; // of several pixels, the first is the one that the words follow
  player.context.globalAlpha = strength;
  if (step < 2) drawMutation(player, places, step, ease(t));
  const marks = walkMarks(walk, places, j, step, t);
  for (const mark of marks) {
    player.context.globalAlpha = strength * (mark.lost ? 1 - 0.55 * t : 1);
    drawMark(player, mark.at, mark.rgb, mark.size ?? 1);
    if (mark.lost && t > 0.4) drawCross(player, mark.at);
  }
  player.context.globalAlpha = 1;
  return marks;
}

function drawWalk(player, frame, now) {
  drawCrowd(player, frame);
  const marks = Array.from({ length: frame.pixels }, (_, j) => drawWalkPixel(player, frame.walk, j, now));
  const taken = marks[0].map(({ at: [x, y] }) => [x - 7, y - 7, 14, 14]);
  for (const mark of marks[0]) drawLabel(player, mark, taken);
}

// ---------------------------------------------------------------- Slow motion: the words

const walkMs = (player) => WALK_SPEEDS[player.parts.speed.value];
const walkTime = (player, now) => (still() ? 1 : clamp((now - player.slow.since) / (0.6 * walkMs(player)), 0, 1));

function verdict(player, walk) {
  const goal = player.data.target === null ? "fools the model more" : `brings it closer to ${className(player, player.data.target)}`;
  return walk.kept
    ? `Keep: the child ${goal}, so it takes its parent's place.`
    : "Discard: the child is no better, so the parent stays.";
}

function walkCaption(player, walk) {
  const child = placeText({ xy: walk.child.xy[0], rgb: walk.child.rgb[0] });
  const [pixel, others] = walk.child.xy.length > 1 ? ["pixels", " (and its other pixels likewise)"] : ["pixel", ""];
  return [
    `Candidate ${walk.slot} looks for something better. Three others are drawn at random. The way from r3 to r2, times ${walk.weight}, is the arrow: how far to move, in place and in colour.`,
    `Add the arrow to r1. A child is born at ${child}${others}.`,
    `Ask the model twice: how sure is it of ${trueName(player)} with the parent's ${pixel}, and with the child's? Lower is better for the search.`,
    verdict(player, walk),
  ][player.slow.step];
}

function renderSum(player, walk) {
  const [r1, r2, r3] = walk.donors.map((donor, i) => swatch(donor.rgb[0], `r${i + 1}`));
  const child = player.slow.step > 0 ? swatch(walk.child.rgb[0], "child") : element("span", "child ?");
  const [times, minus, equals] = [`+ ${walk.weight} × (`, "−", ") ="].map((text) => element("span", text));
  player.parts.walkSum.replaceChildren(r1, times, r2, minus, r3, equals, child);
}

function renderBars(player, walk) {
  for (const who of ["parent", "child"]) {
    const bar = player.parts[`${who}Bar`];
    bar.style.width = `${100 * walk[who].p}%`;
    bar.style.background = colour(walk[who].p);
    put(player.parts[`${who}Value`], percent(walk[who].p));
  }
  const decided = player.slow.step === 3;
  player.parts.parentValue.classList.toggle("lost", decided && walk.kept);
  player.parts.childValue.classList.toggle("lost", decided && !walk.kept);
}

function renderWalk(player) {
  const { walk: panel, walkTitle, walkCaption: caption, walkSum, walkBars } = player.parts;
  const frame = shownFrame(player);
  panel.hidden = !player.slow || !frame;
  if (panel.hidden) return;
  const { walk } = frame;
  walkSum.hidden = !walk || player.slow.step > 1;
  walkBars.hidden = !walk || player.slow.step < 2;
  put(walkTitle, walk ? `Step ${player.slow.step + 1} of 4: ${WALK_TITLES[player.slow.step]}` : "Slow motion");
  put(caption, walk ? walkCaption(player, walk) : frame.generation === 0 ? NO_WALK_FIRST : NO_WALK);
  if (!walk) return;
  renderSum(player, walk);
  renderBars(player, walk);
}

// ---------------------------------------------------------------- The best-so-far line

const MARGIN = { left: 50, right: 14, top: 12, bottom: 36 };

function chartScale(player) {
  const { width, height } = player.chartSize;
  const last = lastGeneration(player) ?? 0;
  const span = Math.max(1, player.data.live ? player.data.generations : last);
  return {
    width, height, span,
    x: (generation) => MARGIN.left + (generation / span) * (width - MARGIN.left - MARGIN.right),
    y: (p) => MARGIN.top + (1 - p) * (height - MARGIN.top - MARGIN.bottom),
  };
}

function renderGrid(player, { x, y, width, height, span }) {
  const size = `${width} ${height} ${span}`;
  if (player.gridSize === size) return;
  player.gridSize = size;
  const marks = [0, 0.5, 1].flatMap((p) => [
    drawn("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(p), y2: y(p) }),
    drawn("text", { x: MARGIN.left - 8, y: y(p) + 4, "text-anchor": "end" }, `${100 * p} %`),
  ]);
  for (const generation of new Set([0, Math.round(span / 2), span])) {
    marks.push(drawn("text", { x: x(generation), y: y(0) + 17, "text-anchor": "middle" }, String(generation)));
  }
  marks.push(drawn("text", { x: (x(0) + x(span)) / 2, y: y(0) + 33, "text-anchor": "middle" }, "generation"));
  player.parts.grid.replaceChildren(...marks);
}

function renderMarker(player, { x, y, span }, frame) {
  const { cursor, marker, markerValue } = player.parts;
  const [cx, cy] = [x(frame.generation), y(frame.best_true)];
  setAll(cursor, { x1: cx, x2: cx, y1: y(1), y2: y(0) });
  setAll(marker, { cx, cy });
  const left = frame.generation > span * 0.8;
  const above = frame.best_true < 0.8;
  setAll(markerValue, { x: cx + (left ? -10 : 10), y: cy + (above ? -10 : 20), "text-anchor": left ? "end" : "start" });
  put(markerValue, percent(frame.best_true));
}

function renderChart(player) {
  const { figure, chart, chartTitle, lineAll, lineShown, area } = player.parts;
  const frame = shownFrame(player);
  figure.hidden = !frame;
  if (!frame || !player.chartSize) return;
  const scale = chartScale(player);
  const { frames, order } = player.store;
  const point = (generation) => `${scale.x(generation)},${scale.y(frames.get(generation).best_true)}`;
  const shown = order.filter((generation) => generation <= player.shown).map(point);
  renderGrid(player, scale);
  lineAll.setAttribute("points", order.filter((generation) => generation >= player.shown).map(point).join(" "));
  lineShown.setAttribute("points", shown.join(" "));
  const [start, end] = [scale.x(order[0]), scale.x(player.shown)];
  area.setAttribute("points", [`${start},${scale.y(0)}`, ...shown, `${end},${scale.y(0)}`].join(" "));
  renderMarker(player, scale, frame);
  put(chartTitle, `Best so far: how sure the model is of ${trueName(player)}`);
  chart.setAttribute("aria-label", `Best so far: ${percent(frames.get(order[0]).best_true)} ${trueName(player)} at generation ${order[0]}, ${percent(frame.best_true)} at generation ${frame.generation}.`);
}

function renderScale(player) {
  const dots = Array.from({ length: 9 }, (_, i) => {
    const p = 1 - i / 8;
    return drawn("circle", { cx: `${5 + 11.25 * i}%`, cy: 10, "data-p": p, fill: colour(p), stroke: outline(p) });
  });
  player.parts.scale.replaceChildren(...dots);
}

// ---------------------------------------------------------------- Text, controls, what tests read

function renderText(player, frame) {
  const { data, parts } = player;
  put(parts.headline, headline(player));
  put(parts.timeLeft, data.live && frame ? timeText(data.seconds_left) : "");
  put(parts.progress, frame ? progressText(player, frame) : "");
  const aim = data.target === null ? "" : ` (target ${className(player, data.target)})`;
  put(parts.best, frame ? `Best: ${bestText(player, frame)}${aim}` : "");
  put(parts.replaced, frame ? replacedText(frame) : "");
  put(parts.goneOn, goneOnText(player));
  parts.swatches.replaceChildren(...(frame ? bestPixels(frame).map((pixel) => swatch(pixel.rgb, placeText(pixel))) : []));
}

function renderControls(player) {
  const { parts, store, slow, data } = player;
  const index = shownIndex(player);
  const running = index >= 0 && (player.playing || Boolean(slow?.auto));
  const atEnd = index >= store.order.length - 1;
  const walkLeft = Boolean(slow && shownFrame(player)?.walk);
  put(parts.playWord, running ? "Pause" : "Play");
  parts.play.setAttribute("aria-label", running ? "Pause" : "Play");
  parts.play.disabled = index < 0 || (store.order.length < 2 && !data.live);
  // aria-disabled, not disabled: a button that goes dead must not drop the keyboard's focus.
  parts.back.setAttribute("aria-disabled", String(index <= 0 && !(walkLeft && slow.step > 0)));
  parts.forward.setAttribute("aria-disabled", String(atEnd && !(walkLeft && slow.step < 3)));
  parts.slowButton.disabled = index < 0;
  parts.slowButton.setAttribute("aria-pressed", String(Boolean(slow)));
  parts.slider.disabled = store.order.length < 2;
  setAll(parts.slider, { min: store.order[0] ?? 0, max: lastGeneration(player) ?? 0 });
  parts.slider.value = String(player.shown ?? 0);
  parts.slider.style.setProperty("--done", `${(100 * Math.max(0, index)) / Math.max(1, store.order.length - 1)}%`);
  parts.slider.setAttribute("aria-valuetext", `generation ${player.shown ?? 0} of ${data.generations}`);
  player.root.dataset.playing = String(running);
}

function reflect(player, frame) {
  const { root, data, store } = player;
  root.dataset.generation = frame ? String(frame.generation) : "";
  root.dataset.frames = String(store.order.length);
  root.dataset.status = data.status;
  root.dataset.bestXy = frame ? bestPixels(frame).map(({ xy }) => xy.join(",")).join(" ") : "";
  root.dataset.step = player.slow ? String(player.slow.step + 1) : "";
}

function render(player) {
  const frame = shownFrame(player);
  player.parts.legend.style.visibility = frame ? "visible" : "hidden";
  renderText(player, frame);
  renderWalk(player);
  renderChart(player);
  renderControls(player);
  reflect(player, frame);
  player.parts.canvas.setAttribute("aria-label", canvasText(player, frame));
  announce(player, player.slow ? player.parts.walkCaption.textContent : spoken(player, frame));
}

const spoken = (player, frame) =>
  frame ? `${headline(player)}. Generation ${frame.generation}. Best: ${bestText(player, frame)}.` : headline(player);

// A screen reader hears the latest sentence, at most once in two seconds.
function announce(player, message) {
  player.toSay = message;
  if (player.sayTimer || message === player.parts.live.textContent) return;
  const wait = Math.max(0, ANNOUNCE_MS - (performance.now() - player.saidAt));
  player.sayTimer = setTimeout(() => {
    player.sayTimer = 0;
    player.saidAt = performance.now();
    put(player.parts.live, player.toSay);
  }, wait);
}

// ---------------------------------------------------------------- Playback

function show(player, generation, duration = 300) {
  const { frames, order } = player.store;
  const single = order.indexOf(generation) - shownIndex(player) === 1;
  player.shown = generation;
  glideTo(player, frames.get(generation), duration, single);
  render(player);
  wake(player);
}

function wake(player) {
  player.request ||= requestAnimationFrame((now) => tick(player, now));
}

function tick(player, now) {
  player.request = 0;
  if (!player.root.isConnected) return;
  if (player.slow) advanceWalk(player, now);
  else if (player.playing) advance(player, now);
  draw(player, now);
  const gliding = player.glide && glideTime(player.glide, now) < 1;
  const walking = player.slow && (player.slow.auto || walkTime(player, now) < 1);
  const behind = player.playing && player.shown !== lastGeneration(player);
  if (gliding || walking || behind) wake(player);
}

function advance(player, now) {
  const { order } = player.store;
  const behind = order.length - 1 - shownIndex(player);
  if (behind <= 0 && !player.data.live) pause(player);
  if (behind <= 0 || now < player.nextAt) return;
  const delay = player.following ? FOLLOW_MS : SPEEDS[player.parts.speed.value];
  const stride = player.following ? Math.ceil(behind / FOLLOW_STRIDES) : 1;
  player.nextAt = now + delay;
  // Following without a backlog, the dots may take until the next poll to arrive.
  show(player, order[shownIndex(player) + stride], player.following && behind === 1 ? 220 : 0.85 * Math.min(delay, 450));
}

function pause(player) {
  player.playing = false;
  player.following = false;
  if (player.slow) player.slow.auto = false;
  render(player);
}

function play(player) {
  player.slow = null;
  player.playing = true;
  player.following = player.data.live;
  player.nextAt = 0;
  const ended = player.shown === lastGeneration(player) && !player.data.live;
  if (ended) show(player, player.store.order[0]);
  if (ended) player.nextAt = performance.now() + SPEEDS[player.parts.speed.value];
  render(player);
  wake(player);
}

const togglePlay = (player) => (player.playing || player.slow?.auto ? pause : play)(player);

function seek(player, generation) {
  if (generation === undefined) return;
  if (player.playing) pause(player);
  if (player.slow) startWalk(player, false);
  if (generation !== player.shown) show(player, generation);
}

// One step: a generation, or in slow motion a step of the walk and then the next generation.
function step(player, direction) {
  const walking = player.slow && shownFrame(player)?.walk;
  const next = walking ? player.slow.step + direction : -1;
  if (walking && next >= 0 && next < WALK_TITLES.length) setWalkStep(player, next, false);
  else seek(player, player.store.order[shownIndex(player) + direction]);
}

function startWalk(player, auto) {
  player.playing = false;
  player.following = false;
  player.slow = { step: 0, since: performance.now(), auto };
}

function setWalkStep(player, next, auto) {
  player.slow = { step: next, since: performance.now(), auto };
  render(player);
  wake(player);
}

function advanceWalk(player, now) {
  const { slow } = player;
  if (!slow.auto || now - slow.since < walkMs(player)) return;
  if (slow.step < WALK_TITLES.length - 1) setWalkStep(player, slow.step + 1, true);
  else pause(player);
}

function toggleSlow(player) {
  if (player.slow) player.slow = null;
  else startWalk(player, Boolean(shownFrame(player)?.walk));
  render(player);
  wake(player);
}

// ---------------------------------------------------------------- Controls

function onKey(player, event) {
  const from = event.target;
  if (event.altKey || event.ctrlKey || event.metaKey || from === player.parts.speed) return;
  const isButton = from.tagName === "BUTTON";
  const actions = { " ": isButton ? null : () => togglePlay(player) };
  if (from !== player.parts.slider || player.slow) {
    actions.ArrowLeft = () => step(player, -1);
    actions.ArrowRight = () => step(player, 1);
  }
  const action = actions[event.key];
  if (!action || player.shown === null) return;
  event.preventDefault();
  action();
}

function nearest(order, generation) {
  return order.reduce((best, held) => (Math.abs(held - generation) < Math.abs(best - generation) ? held : best), order[0]);
}

function onChartClick(player, event) {
  const box = player.parts.chart.getBoundingClientRect();
  const { span, x } = chartScale(player);
  const generation = ((event.clientX - box.left - x(0)) / (x(span) - x(0))) * span;
  seek(player, nearest(player.store.order, generation));
}

function listen(player) {
  const { root, parts } = player;
  const { signal } = player.ending;
  const on = (target, name, action) => target.addEventListener(name, action, { signal });
  on(parts.play, "click", () => togglePlay(player));
  on(parts.back, "click", () => step(player, -1));
  on(parts.forward, "click", () => step(player, 1));
  on(parts.slowButton, "click", () => toggleSlow(player));
  on(parts.slider, "input", () => seek(player, nearest(player.store.order, Number(parts.slider.value))));
  on(parts.chart, "click", (event) => onChartClick(player, event));
  on(root, "keydown", (event) => onKey(player, event));
  player.resizing = new ResizeObserver(() => resize(player));
  for (const watched of [parts.stage, parts.figure]) player.resizing.observe(watched);
}

function resize(player) {
  const { chart, figure, scale, stage } = player.parts;
  if (!player.data || !stage.clientWidth) return;
  fitCanvas(player);
  if (!figure.hidden) player.chartSize = { width: chart.clientWidth, height: chart.clientHeight };
  chart.setAttribute("viewBox", `0 0 ${chart.clientWidth} ${chart.clientHeight}`);
  for (const dot of scale.children) dot.setAttribute("r", dotRadius(Number(dot.dataset.p), player.cell));
  renderChart(player);
  draw(player, performance.now());
}

// ---------------------------------------------------------------- Mount, update, leave

function create(root) {
  const parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  const player = { root, parts, run: undefined, shown: null, request: 0, sayTimer: 0, saidAt: -ANNOUNCE_MS, nextAt: 0, turn: 0, ending: new AbortController() };
  player.font = getComputedStyle(root).fontFamily;
  renderScale(player);
  listen(player);
  return player;
}

function startRun(player, data) {
  Object.assign(player, { run: data.run, shown: null, glide: null, slow: null, playing: data.live, following: data.live });
  player.picture = decodePicture(data);
}

function update(player, data) {
  player.data = data;
  player.store = runStore(data.run);
  merge(player.store, data.frames ?? []);
  const fresh = player.run !== data.run;
  if (fresh) startRun(player, data);
  if (fresh) resize(player);
  const { order } = player.store;
  if (player.shown === null && order.length) show(player, data.live ? order[0] : order.at(-1));
  if (fresh && data.autoplay && order.length && !still()) play(player);
  render(player);
  wake(player);
}

function leave(player, root) {
  cancelAnimationFrame(player.request);
  clearTimeout(player.sayTimer);
  player.resizing.disconnect();
  player.ending.abort();
  PLAYERS.delete(root);
}

export default function mount({ parentElement, data }) {
  const root = parentElement.querySelector(".player");
  if (!root || !data) return undefined;
  const player = PLAYERS.get(root) ?? create(root);
  PLAYERS.set(root, player);
  player.turn += 1;
  const { turn } = player;
  update(player, data);
  // Streamlit may run the clean-up of an overtaken call: only the latest one ends the player.
  return () => {
    if (turn === player.turn) leave(player, root);
  };
}
