// ---------------------------------------------------------------- The best-so-far line

const MARGIN = { left: 3.125, right: 0.875, top: 0.75, bottom: 2.25 }; // in rem, as the text is

function chartScale(player) {
  const { width, height } = player.chartSize;
  const last = lastGeneration(player) ?? 0;
  const span = Math.max(1, player.data.live ? player.data.config.generations : last);
  const { rem } = player;
  const [left, right, top, bottom] = [MARGIN.left * rem, width - MARGIN.right * rem, MARGIN.top * rem, height - MARGIN.bottom * rem];
  return {
    width, height, span, left, right, rem,
    x: (generation) => left + (generation / span) * (right - left),
    y: (p) => top + (1 - p) * (bottom - top),
  };
}

function renderGrid(player, { x, y, width, height, span, left, right, rem }) {
  const size = `${width} ${height} ${span} ${rem}`;
  if (player.gridSize === size) return;
  player.gridSize = size;
  const marks = [0, 0.5, 1].flatMap((p) => [
    drawn("line", { class: "grid", x1: left, x2: right, y1: y(p), y2: y(p) }),
    drawn("text", { x: left - 0.5 * rem, y: y(p) + 0.25 * rem, "text-anchor": "end" }, `${100 * p}%`),
  ]);
  for (const generation of new Set([0, Math.round(span / 2), span])) {
    marks.push(drawn("text", { x: x(generation), y: y(0) + 1.06 * rem, "text-anchor": "middle" }, String(generation)));
  }
  marks.push(drawn("text", { x: (x(0) + x(span)) / 2, y: y(0) + 2.06 * rem, "text-anchor": "middle" }, "generation"));
  player.parts.grid.replaceChildren(...marks);
}

function renderMarker(player, { x, y, span, rem }, frame) {
  const { cursor, marker, markerValue } = player.parts;
  const [cx, cy] = [x(frame.generation), y(frame.best_true)];
  setAll(cursor, { x1: cx, x2: cx, y1: y(1), y2: y(0) });
  setAll(marker, { cx, cy });
  const left = frame.generation > span * 0.8;
  const above = frame.best_true < 0.8;
  setAll(markerValue, { x: cx + (left ? -0.625 : 0.625) * rem, y: cy + (above ? -0.625 : 1.25) * rem, "text-anchor": left ? "end" : "start" });
  put(markerValue, percent(frame.best_true));
}

function renderChart(player) {
  const { figure, chart, chartTitle, lineAll, lineShown, area } = player.parts;
  const frame = player.data.compact || player.data.loop ? undefined : shownFrame(player);
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
  put(parts.headline, data.compact ? compactText(player, frame) : headline(player));
  if (data.compact) return;
  put(parts.timeLeft, data.live && frame ? timeText(data.seconds_left) : "");
  put(parts.progress, frame ? progressText(player, frame) : "");
  const { target } = data.config;
  const aim = target === null ? "" : ` (target ${className(player, target)})`;
  put(parts.best, frame ? `Best edit so far: ${bestText(player, frame)}${aim}` : "");
  put(parts.replaced, frame ? replacedText(player, frame) : "");
  put(parts.goneOn, goneOnText(player));
  parts.swatches.replaceChildren(...(frame ? swatches(frame) : []));
}

function swatches(frame) {
  if (frame.side) return [element("span", `It is ${patchText(frame)}; each dot is the middle of one that was tried.`)];
  if (frame.pixels > MANY) return [element("span", `It changes ${frame.pixels} pixels, drawn larger than they are.`)];
  return bestPixels(frame).map((pixel) => swatch(pixel.rgb, placeText(pixel)));
}

function renderControls(player) {
  const { parts, store, slow, data } = player;
  const index = shownIndex(player);
  const running = index >= 0 && player.playing;
  const atEnd = index >= store.order.length - 1;
  put(parts.playWord, running ? "Pause" : "Play");
  parts.play.setAttribute("aria-label", running ? "Pause" : "Play");
  parts.play.disabled = index < 0 || (store.order.length < 2 && !data.live);
  // aria-disabled, not disabled: a button that goes dead must not drop the keyboard's focus.
  parts.back.setAttribute("aria-disabled", String(index <= 0 && !slow?.at));
  parts.forward.setAttribute("aria-disabled", String(atEnd));
  parts.slowButton.disabled = index < 0;
  parts.slowButton.hidden = isSparse(player); // it has no parents and no arrows
  renderSlowControls(player, atEnd);
  parts.slider.disabled = store.order.length < 2;
  setAll(parts.slider, { min: store.order[0] ?? 0, max: lastGeneration(player) ?? 0 });
  parts.slider.value = String(player.shown ?? 0);
  parts.slider.style.setProperty("--done", `${(100 * Math.max(0, index)) / Math.max(1, store.order.length - 1)}%`);
  parts.slider.setAttribute("aria-valuetext", `generation ${player.shown ?? 0} of ${data.config.generations}`);
  player.root.dataset.playing = String(running);
}

// In slow motion, Next stands in place of Play: nothing but Next, Back and the slider moves on.
function renderSlowControls(player, atEnd) {
  const { parts, slow } = player;
  for (const part of [parts.play, parts.forward, parts.speedLabel]) part.hidden = Boolean(slow);
  parts.next.hidden = !slow;
  put(parts.slowButton, slow ? "Leave slow motion" : "Slow motion");
  const back = slow ? "One step back" : "One generation back";
  setAll(parts.back, { "aria-label": back, title: `${back} (Left arrow)` });
  if (!slow) return;
  const left = stopsOf(shownFrame(player)) - 1 - slow.at;
  const newCandidate = walkNow(player) && stepNow(player) === WALK_TITLES.length - 1;
  put(parts.next, left || atEnd ? (newCandidate && left ? "Next candidate" : "Next") : "Next generation");
  parts.next.setAttribute("aria-disabled", String(atEnd && !left));
}

function reflect(player, frame) {
  const { root, data, store } = player;
  root.dataset.generation = frame ? String(frame.generation) : "";
  root.dataset.frames = String(store.order.length);
  root.dataset.status = data.status;
  root.dataset.bestXy = frame ? bestPixels(frame).map(({ x, y }) => `${x},${y}`).join(" ") : "";
  root.dataset.step = player.slow ? String(stepNow(player) + 1) : "";
  root.dataset.candidate = player.slow ? String(candidateNow(player) + 1) : "";
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
  if (!player.data.compact && !player.data.loop) announce(player, player.slow ? player.parts.walkCaption.textContent : spoken(player, frame));
}

function spoken(player, frame) {
  if (!frame) return headline(player);
  const generation = player.data.live ? ` Generation ${frame.generation}.` : "";
  return `${headline(player)}.${generation} Best edit so far: ${bestText(player, frame)}.`;
}

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

