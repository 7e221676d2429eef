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
  // Several pictures drawn at every turn of the screen would take the processor from the search.
  const due = !player.data.compact || now - player.drawnAt >= COMPACT_DRAW_MS;
  if (due) draw(player, now);
  if (due) player.drawnAt = now;
  const gliding = player.glide && glideTime(player.glide, now) < 1;
  const walking = player.slow && (player.slow.auto || walkTime(player, now) < 1);
  const behind = player.playing && player.shown !== lastGeneration(player);
  if (gliding || walking || behind || !due) wake(player);
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
  const player = { root, parts, run: undefined, shown: null, request: 0, sayTimer: 0, saidAt: -ANNOUNCE_MS, nextAt: 0, drawnAt: 0, ending: new AbortController() };
  player.font = getComputedStyle(root).fontFamily;
  renderScale(player);
  listen(player);
  return player;
}

function startRun(player, data) {
  Object.assign(player, { run: data.run, shown: null, glide: null, slow: null, playing: Boolean(data.live), following: Boolean(data.live) });
  player.picture = decodePicture(data);
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
  player.store = runStore(data.run);
  merge(player.store, data.frames ?? []);
  // A run that had ended and goes on was started anew: it is followed from its beginning.
  const fresh = player.run !== data.run || again;
  if (fresh) startRun(player, data);
  if (fresh) resize(player);
  const { order } = player.store;
  if (player.shown === null && order.length) show(player, data.live ? order[0] : order.at(-1));
  if ((fresh || data.compact) && data.autoplay && order.length && !still()) play(player);
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
  update(player, data);
  return () => leave(player, root);
}
