// ---------------------------------------------------------------- Playback

function show(player, generation, duration = 300) {
  const { frames, order } = player.store;
  const single = order.indexOf(generation) - shownIndex(player) === 1;
  player.shown = generation;
  glideTo(player, frames.get(generation), duration, single);
  render(player);
  wake(player);
}

// Draw, and go on from there.
function wake(player) {
  player.settled = false;
  nextTick(player);
}

function nextTick(player) {
  player.request ||= requestAnimationFrame((now) => tick(player, now));
}

function tick(player, now) {
  player.request = 0;
  if (!player.root.isConnected) return;
  if (player.playing) advance(player, now);
  const gliding = player.glide && glideTime(player.glide, now) < 1;
  const moving = gliding || (player.slow && walkTime(player, now) < 1);
  // Several pictures drawn at every turn of the screen would take the processor from the search.
  const due = !player.data.compact || now - player.drawnAt >= COMPACT_DRAW_MS;
  if (due && (moving || !player.settled)) {
    draw(player, now);
    player.drawnAt = now;
    player.settled = !moving;
  }
  const waits = player.playing && (player.data.loop || player.shown !== lastGeneration(player));
  clearTimeout(player.timer);
  if (moving || !player.settled) nextTick(player);
  else if (waits) player.timer = setTimeout(() => nextTick(player), player.nextAt - now);
}

// ms a generation, in replay: a run of five lasts some ten seconds, one of a hundred 25.
// Side by side, runs of one length at most share a pace, so that they are seen to race.
function pace({ data, store, parts }) {
  const generations = data.compact ? data.config.generations : store.order.length - 1;
  const ms = Math.min(SLOWEST_MS, GENERATION_MS + RUN_MS / Math.max(1, generations));
  return SPEEDS[parts.speed.value] * ms;
}

function advance(player, now) {
  const { order } = player.store;
  const behind = order.length - 1 - shownIndex(player);
  const atEnd = behind <= 0 && !player.data.live;
  if (atEnd && !player.data.loop) pause(player);
  else if (atEnd && now >= player.nextAt) restart(player);
  if (behind <= 0 || now < player.nextAt) return;
  const delay = player.following ? FOLLOW_MS : pace(player);
  const stride = player.following ? Math.ceil(behind / FOLLOW_STRIDES) : 1;
  player.nextAt = now + delay + (player.data.loop && behind === 1 ? LOOP_PAUSE_MS : 0);
  // Following without a backlog, the dots may take until the next poll to arrive.
  const glide = player.following && behind === 1 ? 220 : Math.min(0.85 * delay, GLIDE_MS);
  show(player, order[shownIndex(player) + stride], glide);
}

function restart(player) {
  show(player, player.store.order[0]);
  player.nextAt = performance.now() + pace(player);
}

function pause(player) {
  player.playing = false;
  player.following = false;
  render(player);
}

function play(player) {
  player.playing = true;
  player.following = player.data.live;
  player.nextAt = 0;
  if (player.shown === lastGeneration(player) && !player.data.live) restart(player);
  render(player);
  wake(player);
}

const togglePlay = (player) => (player.playing ? pause : play)(player);

function seek(player, generation) {
  if (generation === undefined) return;
  if (player.playing) pause(player);
  if (player.slow) player.slow = walkFrom(0);
  show(player, generation);
}

const step = (player, direction) => (player.slow ? walk : stepGeneration)(player, direction);

function stepGeneration(player, direction) {
  seek(player, player.store.order[shownIndex(player) + direction]);
}

// One step of a candidate; after its last one, the next candidate, then the next generation.
function walk(player, direction) {
  const { frames, order } = player.store;
  const at = player.slow.at + direction;
  const inside = at >= 0 && at < stopsOf(shownFrame(player));
  const generation = inside ? player.shown : order[shownIndex(player) + direction];
  if (generation === undefined) return;
  const entry = direction > 0 ? 0 : stopsOf(frames.get(generation)) - 1;
  player.slow = walkFrom(inside ? at : entry);
  if (inside) redraw(player);
  else show(player, generation);
}

// ---------------------------------------------------------------- Slow motion: come and go

const walkFrom = (at) => ({ at, since: performance.now() });

function redraw(player) {
  render(player);
  wake(player);
}

// Of a run that has ended at the frame shown, slow motion tells the story from its beginning; of one
// that has only begun, as soon as there is something to tell. All of its places are to be seen.
function startSlow(player) {
  const { frames, order } = player.store;
  const atEnd = !player.data.live && player.shown === lastGeneration(player);
  const ahead = order.slice(atEnd ? 0 : shownIndex(player));
  player.playing = false;
  player.following = false;
  const told = ahead.find((generation) => frames.get(generation).walks.length);
  player.slow = { ...walkFrom(0), awaited: told === undefined };
  zoomAtMiddle(player, 1 / mostZoom(player));
  show(player, told ?? player.shown);
}

function leaveSlow(player) {
  player.slow = null;
  redraw(player);
}

const toggleSlow = (player) => (player.slow ? leaveSlow : startSlow)(player);

// ---------------------------------------------------------------- Controls

function onKey(player, event) {
  const from = event.target;
  if (event.altKey || event.ctrlKey || event.metaKey || from === player.parts.speed) return;
  const isButton = from.tagName === "BUTTON";
  const actions = { " ": isButton ? null : () => (player.slow ? step(player, 1) : togglePlay(player)) };
  if (from !== player.parts.slider || player.slow) {
    actions.ArrowLeft = () => step(player, -1);
    actions.ArrowRight = () => step(player, 1);
  }
  const action = zoomAction(player, event) ?? (player.shown !== null && actions[event.key]);
  if (!action) return;
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
  const on = (target, name, action, more = {}) => target.addEventListener(name, action, { signal, ...more });
  on(parts.play, "click", () => togglePlay(player));
  on(parts.back, "click", () => step(player, -1));
  for (const onward of [parts.forward, parts.next]) on(onward, "click", () => step(player, 1));
  on(parts.slowButton, "click", () => toggleSlow(player));
  on(parts.slider, "input", () => seek(player, nearest(player.store.order, Number(parts.slider.value))));
  on(parts.chart, "click", (event) => onChartClick(player, event));
  on(root, "keydown", (event) => onKey(player, event));
  listenToZoom(player, on);
  player.resizing = new ResizeObserver(() => resize(player));
  for (const watched of [parts.stage, parts.figure]) player.resizing.observe(watched);
}

function resize(player) {
  const { chart, figure, stage } = player.parts;
  if (!player.data || !stage.clientWidth) return;
  player.rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  fitCanvas(player);
  if (!figure.hidden) player.chartSize = { width: chart.clientWidth, height: chart.clientHeight };
  chart.setAttribute("viewBox", `0 0 ${chart.clientWidth} ${chart.clientHeight}`);
  renderChart(player);
  showZoom(player);
}

// ---------------------------------------------------------------- Mount, update, leave

function create(root) {
  const parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  const player = { root, parts, run: undefined, shown: null, request: 0, sayTimer: 0, timer: 0, saidAt: -ANNOUNCE_MS, nextAt: 0, drawnAt: 0, ending: new AbortController(), ...WHOLE_VIEW };
  player.font = getComputedStyle(root).fontFamily;
  renderScale(player);
  listen(player);
  return player;
}

function startRun(player, data) {
  Object.assign(player, { run: data.run, shown: null, glide: null, slow: null, playing: Boolean(data.live), following: Boolean(data.live), zoom: 1 });
}

// One of many, side by side: the picture and a line; nothing to press, nothing said aloud.
function makeCompact({ root }, title) {
  root.dataset.compact = "true";
  for (const name of ["tabindex", "aria-keyshortcuts"]) root.removeAttribute(name);
  if (title) root.setAttribute("aria-label", title);
}

function update(player, data) {
  const again = data.live && player.data?.live === false;
  player.data = data;
  if (data.compact) makeCompact(player, data.title);
  if (data.loop) player.root.dataset.loop = "true";
  setUpZoom(player);
  player.store = runStore(data.run);
  merge(player.store, data.frames ?? []);
  if (data.image && !player.store.picture) player.store.picture = decodePicture(data);
  // A run that had ended and goes on was started anew: it is followed from its beginning.
  const fresh = player.run !== data.run || again;
  if (fresh) startRun(player, data);
  if (fresh) resize(player);
  const { order } = player.store;
  if (player.shown === null && order.length) show(player, data.live ? order[0] : order.at(-1));
  if (player.slow?.awaited) startSlow(player);
  const plays = (data.compact && data.autoplay) || (fresh && (data.autoplay || data.loop));
  if (plays && order.length && !still()) play(player);
  redraw(player);
}

function leave(player, root) {
  cancelAnimationFrame(player.request);
  clearTimeout(player.sayTimer);
  clearTimeout(player.timer);
  player.resizing.disconnect();
  player.ending.abort();
  PLAYERS.delete(root);
}

export default function mount({ parentElement, data }) {
  const root = parentElement.querySelector(".player");
  if (!root || !data) return undefined;
  const player = PLAYERS.get(root) ?? create(root);
  PLAYERS.set(root, player);
  update(player, data);
  return () => leave(player, root);
}
