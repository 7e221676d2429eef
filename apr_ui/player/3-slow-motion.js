// ---------------------------------------------------------------- Slow motion: where it is

// `player.slow.at` counts the steps of all the candidates of the shown frame, one after another.
const stepNow = (player) => player.slow.at % WALK_TITLES.length;
const candidateNow = (player) => Math.floor(player.slow.at / WALK_TITLES.length);
const walkNow = (player) => player.slow && shownFrame(player)?.walks[candidateNow(player)];
const stopsOf = (frame) => Math.max(1, frame.walks.length * WALK_TITLES.length);
const walkTime = (player, now) => (still() ? 1 : limit((now - player.slow.since) / WALK_MS, 0, 1));

// ---------------------------------------------------------------- Slow motion: the picture

const centre = (player, { x, y }) => [(x + 0.5) * player.cell, (y + 0.5) * player.cell];

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

// The first free place of eight around a mark, inside what is shown of the picture
function labelBox(player, [x, y], width, taken) {
  const { cell, wholeCell, data, rem } = player;
  const [start, above] = [cell * player.left, cell * player.top];
  const [end, below] = [start + wholeCell * data.width, above + wholeCell * data.height];
  const [height, gap] = [1.25 * rem, cell * 0.55 + 6];
  const [beside, middle] = [y - height / 2, x - width / 2];
  const choices = [
    [x + gap, beside], [x - gap - width, beside], [middle, y - gap - height], [middle, y + gap],
    [x + gap, y + gap], [x - gap - width, y + gap], [x + gap, y - gap - height], [x - gap - width, y - gap - height],
  ].map(([left, top]) => [left, top, width, height]);
  const inside = ([left, top]) =>
    left >= start + 2 && top >= above + 2 && left + width <= end - 2 && top + height <= below - 2;
  return choices.find((box) => inside(box) && !taken.some((other) => overlap(box, other))) ?? choices.find(inside) ?? choices[0];
}

function drawLabel(player, mark, taken) {
  const { context, rem } = player;
  context.font = `600 ${0.8125 * rem}px ${player.font}`;
  const width = context.measureText(mark.label).width + 0.75 * rem;
  const box = labelBox(player, mark.at, width, taken);
  taken.push(box);
  context.fillStyle = "rgba(0, 0, 0, 0.82)";
  context.beginPath();
  context.roundRect(...box, 5);
  context.fill();
  context.fillStyle = "white";
  context.textBaseline = "middle";
  context.fillText(mark.label, box[0] + 0.375 * rem, box[1] + box[3] / 2 + 1);
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
  const [r1, r2, r3] = walk.donors.map((donor) => centre(player, donor[j]));
  const reach = [walk.weight * (r2[0] - r3[0]), walk.weight * (r2[1] - r3[1])];
  return { r1, r2, r3, reach, parent: centre(player, walk.parent[j]), child: centre(player, walk.child[j]) };
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
  const colours = walk.donors.map((donor) => donor[j].rgb);
  const parent = { at: places.parent, rgb: walk.parent[j].rgb, label: "parent", lost: step === 3 && walk.kept };
  const child = { at: places.child, rgb: walk.child[j].rgb, label: "child", lost: step === 3 && !walk.kept };
  const donors = ["r1", "r2", "r3"].map((label, i) => ({ at: places[label], rgb: colours[i], label }));
  if (step === 0) return [parent, ...donors.map((mark) => ({ ...mark, size: ease(t) }))];
  if (step === 1) return t > 0.75 ? [parent, ...donors, child] : [parent, ...donors];
  return [parent, child];
}

function drawWalkPixel(player, walk, j, now) {
  const step = stepNow(player);
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

function drawWalk(player, frame, walk, now) {
  drawCrowd(player, frame);
  const marks = Array.from({ length: frame.pixels }, (_, j) => drawWalkPixel(player, walk, j, now));
  const taken = marks[0].map(({ at: [x, y] }) => [x - 7, y - 7, 14, 14]);
  for (const mark of marks[0]) drawLabel(player, mark, taken);
}

// ---------------------------------------------------------------- Slow motion: the words

function verdict(player, walk) {
  const { target } = player.data.config;
  const goal = target === null ? "fools the model more" : `brings it closer to ${className(player, target)}`;
  return walk.kept
    ? `Keep: the child ${goal}, so it takes its parent's place.`
    : "Discard: the child is not better, so the parent stays.";
}

function walkCaption(player, walk) {
  const child = placeText(walk.child[0]);
  const [pixel, others] = walk.child.length > 1 ? ["pixels", " (and its other pixels likewise)"] : ["pixel", ""];
  return [
    `Candidate ${walk.slot} gets a child. Three other candidates, r1, r2 and r3, are drawn at random. The arrow is the difference from r3 to r2, times ${walk.weight}: how far to move, in place and in colour.`,
    `Add the arrow to r1: the child is at ${child}${others}.`,
    `Ask the model about the child, which is one query. How sure is it of ${trueName(player)} with the child's ${pixel}, and how sure was it with the parent's? Lower is better for the search.`,
    verdict(player, walk),
  ][stepNow(player)];
}

function renderSum(player, walk) {
  const [r1, r2, r3] = walk.donors.map((donor, i) => swatch(donor[0].rgb, `r${i + 1}`));
  const child = stepNow(player) > 0 ? swatch(walk.child[0].rgb, "child") : element("span", "child ?");
  const [times, minus, equals] = [`+ ${walk.weight} × (`, "−", ") ="].map((text) => element("span", text));
  player.parts.walkSum.replaceChildren(r1, times, r2, minus, r3, equals, child);
}

function renderBars(player, walk) {
  for (const who of ["parent", "child"]) {
    const [bar, p] = [player.parts[`${who}Bar`], walk[`${who}_true`]];
    bar.style.width = `${100 * p}%`;
    bar.style.background = colour(p);
    put(player.parts[`${who}Value`], percent(p));
  }
  const decided = stepNow(player) === 3;
  player.parts.parentValue.classList.toggle("lost", decided && walk.kept);
  player.parts.childValue.classList.toggle("lost", decided && !walk.kept);
}

function renderWalk(player) {
  const { walk: panel, walkTitle, walkCaption: caption, walkSum, walkBars } = player.parts;
  const frame = shownFrame(player);
  panel.hidden = !player.slow || !frame;
  if (panel.hidden) return;
  const [walk, step] = [walkNow(player), stepNow(player)];
  walkSum.hidden = !walk || step > 1;
  walkBars.hidden = !walk || step < 2;
  const place = `Candidate ${candidateNow(player) + 1} of ${frame.walks.length}, step ${step + 1} of ${WALK_TITLES.length}`;
  put(walkTitle, walk ? `${place}: ${WALK_TITLES[step]}` : "Slow motion");
  const first = player.store.order.length > 1 || player.data.live ? NO_WALK_FIRST : NO_WALK_ONLY;
  put(caption, walk ? walkCaption(player, walk) : frame.generation === 0 ? first : NO_WALK);
  if (!walk) return;
  renderSum(player, walk);
  renderBars(player, walk);
}

