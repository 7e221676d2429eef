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
  player.wholeCell = deviceCell / ratio;
  setView(player, player.zoom, player.left, player.top);
  player.context = canvas.getContext("2d");
  player.ratio = ratio;
}

// How many dots a candidate has: one a pixel, and one in the middle of a patch.
const dotsEach = (frame) => (frame.side ? 1 : frame.pixels);

// x, y (in pixels of the picture) and p of every dot, slot by slot
function dotsOf(frame) {
  const each = dotsEach(frame);
  const dots = new Float32Array(3 * frame.p.length * each);
  const [step, middle] = [frame.pixels / each, (frame.side || 1) / 2];
  for (let i = 0; i < dots.length / 3; i += 1) {
    dots[3 * i] = frame.xy[2 * i * step] + middle + jitter(2 * i);
    dots[3 * i + 1] = frame.xy[2 * i * step + 1] + middle + jitter(2 * i + 1);
    dots[3 * i + 2] = frame.p[Math.floor(i / each)];
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

const glideTime = (glide, now) => (glide.duration ? limit((now - glide.start) / glide.duration, 0, 1) : 1);

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

// A candidate that its child has just replaced draws a tail: some of the way that it has come.
function drawTrails(player, frame, dots, t) {
  const { context, cell, glide } = player;
  if (t >= 1 || !glide.single) return;
  context.lineWidth = 1.5;
  context.strokeStyle = `rgba(255, 255, 255, ${0.7 * (1 - t)})`;
  context.beginPath();
  for (let i = 0; i < dots.length / 3; i += 1) {
    if (!frame.moved[Math.floor(i / dotsEach(frame))]) continue;
    const [x, y] = dots.subarray(3 * i, 3 * i + 2);
    const tail = between([x, y], glide.from.subarray(3 * i, 3 * i + 2), TAIL);
    context.moveTo(tail[0] * cell, tail[1] * cell);
    context.lineTo(x * cell, y * cell);
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

function drawBestRing(player, { x, y }) {
  const { context, cell } = player;
  strokeTwice(context, 2, () => context.arc((x + 0.5) * cell, (y + 0.5) * cell, cell * 0.95, 0, 2 * Math.PI));
}

// The winner: its cell in its own colour, framed, and aimed at from four sides.
function drawWinner(player, { x, y, rgb }) {
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

// Many pixels: each in its own colour, larger than it is, and no rings that would hide the picture.
function drawMany({ context, cell }, pixels, margin) {
  for (const [grow, paint] of [[margin + 1, () => "black"], [margin, ({ rgb }) => rgbText(rgb)]]) {
    for (const pixel of pixels) {
      context.fillStyle = paint(pixel);
      context.fillRect(pixel.x * cell - grow, pixel.y * cell - grow, cell + 2 * grow, cell + 2 * grow);
    }
  }
}

// A patch as it is, framed.
function drawPatch({ context, cell }, pixels, side, width) {
  for (const { x, y, rgb } of pixels) {
    context.fillStyle = rgbText(rgb);
    context.fillRect(x * cell, y * cell, cell, cell);
  }
  const [{ x, y }] = pixels;
  strokeTwice(context, width, () => context.rect(x * cell - 1, y * cell - 1, side * cell + 2, side * cell + 2));
}

function drawFrame(player, frame, now) {
  const winning = isWinning(player);
  player.context.globalAlpha = winning ? 0.4 : 1;
  drawDots(player, frame, now);
  player.context.globalAlpha = 1;
  const best = bestPixels(frame);
  if (frame.side) drawPatch(player, best, frame.side, winning ? 3 : 2);
  else if (frame.pixels > MANY) drawMany(player, best, winning ? 2 : 1);
  else for (const pixel of best) (winning ? drawWinner : drawBestRing)(player, pixel);
}

function draw(player, now) {
  const { context, cell, data } = player;
  if (!context) return;
  drawInView(player);
  context.imageSmoothingEnabled = false;
  if (player.store.picture) context.drawImage(player.store.picture, 0, 0, data.width * cell, data.height * cell);
  const frame = shownFrame(player);
  if (!frame) return;
  if (walkNow(player)) drawWalk(player, frame, walkNow(player), now);
  else drawFrame(player, frame, now);
}

