// The player: a run of differential evolution, live or replayed, on one canvas.
// Streamlit calls the default export at the mount and again at every change of data.

const LARGEST = 480; // CSS pixels of the picture's side
const RUNS_KEPT = 12; // runs whose frames stay in memory
const SPEEDS = { slow: 2, normal: 1, fast: 0.25 }; // times the pace of a replay
const [SLOWEST_MS, RUN_MS, GENERATION_MS] = [2000, 9200, 160]; // see `pace`
const GLIDE_MS = 1200; // the dots' longest way from one generation to the next
const TAIL = 0.3; // of the way that a dot has come
const LOOP_PAUSE_MS = 1500; // longer on the last frame, before the run begins again
const WALK_MS = 720; // an arrow's or a bar's way, in slow motion
const FOLLOW_MS = 50; // a tick while catching up with the newest frame
const FOLLOW_STRIDES = 12; // the backlog is covered in about so many ticks
const COMPACT_DRAW_MS = 66; // between two drawings of one picture among several
const ANNOUNCE_MS = 2000;
const MANY = 16; // pixels of a candidate, beyond which they are counted and not listed
const WALK_TITLES = ["Choose", "Mutate", "Compare", "Keep or discard"];
const NO_WALK_FIRST = "The first generation is random: no candidate has parents yet. Go one generation forward to see one.";
const NO_WALK_ONLY = "The first generation is random, and one of its edits was enough: no candidate has parents.";
const NO_WALK = "No candidate was recorded step by step in this generation. Try the previous or the next one.";

const PLAYERS = new WeakMap(); // root element -> player
const RUNS = new Map(); // run id -> { frames: Map(generation -> frame), order: [generation], picture: canvas }

// ---------------------------------------------------------------- Data

function bytes(base64) {
  return Uint8Array.from(atob(base64 ?? ""), (letter) => letter.charCodeAt(0));
}

// A frame as apr_core/serving/frame.py makes it; `pixels` is how many each candidate has, `side` that of a patch.
function decodeFrame(raw) {
  const [xy, rgb, moved] = [new Int16Array(bytes(raw.xy).buffer), bytes(raw.rgb), bytes(raw.moved)];
  const p = new Float32Array(bytes(raw.true).buffer);
  const walks = [raw.walk, ...(raw.other_walks ?? [])].filter(Boolean);
  const pixels = xy.length / 2 / p.length;
  return { ...raw, xy, rgb, p, moved, walks, pixels, side: patchSide(xy, pixels) };
}

// The side of a patch, whose pixels stand row by row; 0 where the first candidate is none.
function patchSide(xy, pixels) {
  const side = Math.sqrt(pixels);
  const inPlace = (j) => xy[2 * j] === xy[0] + (j % side) && xy[2 * j + 1] === xy[1] + Math.floor(j / side);
  return side > 1 && Number.isInteger(side) && Array.from({ length: pixels }, (_, j) => j).every(inPlace) ? side : 0;
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

// Frames and the picture live by run id, so that a page that remounts the player loses none of them.
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
const maxQueries = ({ data }) => data.config.population * (data.config.generations + 1);
const trueName = (player) => className(player, player.data.label);

function bestPixels(frame) {
  return Array.from({ length: frame.pixels }, (_, j) => {
    const i = frame.best * frame.pixels + j;
    return { x: frame.xy[2 * i], y: frame.xy[2 * i + 1], rgb: [...frame.rgb.subarray(3 * i, 3 * i + 3)] };
  });
}

const isSparse = ({ data }) => /^sparse-rs/.test(data.config.method ?? ""); // runs from before it have no method
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
const still = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

// ---------------------------------------------------------------- Words

const counted = new Intl.NumberFormat("en-US");
const rgbText = (rgb) => `rgb(${rgb.join(", ")})`;
const placeText = ({ x, y, rgb }) => `(${x}, ${y}) ${rgbText(rgb)}`;

const patchText = (frame) => `a patch of ${frame.side} × ${frame.side} at (${bestPixels(frame)[0].x}, ${bestPixels(frame)[0].y})`;

function pixelsText(frame) {
  if (frame.side) return patchText(frame);
  return frame.pixels > MANY ? `${frame.pixels} pixels` : bestPixels(frame).map(placeText).join("; ");
}

function percent(p) {
  const value = 100 * p;
  if (value > 0 && value < 0.5) return "<1%";
  if (value < 100 && value >= 99.5) return ">99%";
  return `${Math.round(value)}%`;
}

function timeText(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 90 ? `about ${Math.ceil(seconds)} s left` : `about ${Math.round(seconds / 60)} min left`;
}

function waitText({ queue_place: place, wait }) {
  if (!(place > 0)) return "Starting the search";
  return `Waiting: place ${place} in the queue${wait ? `, ${timeText(wait).replace(" left", "")}` : ""}`;
}

function bestText(player, frame) {
  const truth = `${trueName(player)} ${percent(frame.best_true)}`;
  if (frame.best_label === player.data.label) return truth;
  return `${truth}, ${className(player, frame.best_label)} ${percent(frame.best_confidence)}`;
}

function progressText(player, frame) {
  const { generations } = player.data.config;
  const queries = `${counted.format(frame.queries)} of ${counted.format(maxQueries(player))}`;
  return `Generation ${frame.generation} of ${generations} · queries ${queries}`;
}

function closestText(player) {
  const { target } = player.data.config;
  if (target !== null) return `; it did not become ${className(player, target)}`;
  const reached = player.store.order.map((generation) => player.store.frames.get(generation).best_true);
  return reached.length ? `; closest, ${percent(Math.min(...reached))} ${trueName(player)}` : "";
}

const HEADLINES = {
  queued: ({ data }) => waitText(data),
  running: () => "Searching",
  flipped: (player) => {
    const last = player.store.frames.get(lastGeneration(player));
    return last ? `Flipped: ${trueName(player)} → ${className(player, last.best_label)}` : "Flipped";
  },
  survived: (player) => `Survived ${counted.format(maxQueries(player))} queries${closestText(player)}`,
  cancelled: (player) => `Cancelled${closestText(player)}`,
  unwatched: (player) => `Ended early, because nobody was watching${closestText(player)}`,
  failed: (player) => `Failed${closestText(player)}`,
  misclassified: (player) => `Nothing to attack: the model already mistakes this ${trueName(player)} for something else`,
  skipped: (player) => `Nothing to attack: the target is ${trueName(player)}, the picture's own class`,
};

// The compact mode's one line: the generation, or why there is none.
const NO_FRAME = {
  queued: "Waiting",
  running: "Starting",
  cancelled: "Cancelled",
  unwatched: "Ended early",
  failed: "Failed",
  misclassified: "Not attacked",
  skipped: "Not attacked",
};

function compactText({ data }, frame) {
  return frame ? `Generation ${frame.generation} of ${data.config.generations}` : (NO_FRAME[data.status] ?? data.status);
}

// Of the shown frame: how the run ended is told on its last one only.
function headline(player) {
  const { data } = player;
  const frame = shownFrame(player);
  if (data.live || !frame || player.shown === lastGeneration(player)) {
    return (HEADLINES[data.status] ?? (() => data.status))(player);
  }
  const still = frame.best_label === data.label ? "still " : "";
  return `Generation ${frame.generation}: ${still}${className(player, frame.best_label)}`;
}

function goneOnText(player) {
  const behind = player.data.live && !player.playing && player.shown < lastGeneration(player);
  const press = player.slow ? "Leave slow motion and press Play" : "Press Play";
  return behind ? `The search is at generation ${lastGeneration(player)} now. ${press} to catch up.` : "";
}

function replacedText(player, frame) {
  if (frame.generation === 0) return `${frame.p.length} candidates, placed at random`;
  const moved = frame.moved.reduce((sum, flag) => sum + flag, 0);
  const by = isSparse(player) ? "better ones" : "their children";
  return `${moved} of ${frame.p.length} candidates were replaced by ${by}`;
}

function canvasText(player, frame) {
  const { width, height } = player.data;
  const picture = `Picture of ${trueName(player)}, ${width} by ${height} pixels.`;
  if (!frame) return `${picture} ${headline(player)}.`;
  const found = isWinning(player) ? "The winning edit" : `${frame.p.length} candidates; the best`;
  return `${picture} ${progressText(player, frame)}. ${found}, ${pixelsText(frame)}: ${bestText(player, frame)}.`;
}

