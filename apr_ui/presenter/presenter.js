// The presenter's bar. Arrow keys, Space and the page keys of a remote control change the slide,
// unless the focus is on something that has a use for the key. The clock is kept in the browser, so
// that a reload does not set it back; a press starts it, another sets it to zero.

const MOVES = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 };
// What moves by arrows: text, sliders, radios, lists.
const ARROWS = "input:not([type=checkbox], [type=button]), textarea, select, [contenteditable=true], [role=radio], [role=slider], [role=option], [role=menu], [role=tab]";
// Pictures and the player too; on a slide only if the focus came there by key, not by a click.
const PICTURES = "[role=application], [aria-keyshortcuts*=Arrow]";
const PRESSED = `${ARROWS}, input, button, a, summary, [tabindex='0']`; // Space presses it
const BARS = new WeakMap();
const SLIDE = { width: 1280, height: 720 }; // a slide is drawn for this size, and enlarged from there
const NARROW = 640; // where columns stand below each other: a phone scrolls
const LEAST = 0.35; // of that size: a page that does not fit then does scroll
const SAME = 0.02; // a zoom that differs by less is left alone

const two = (number) => String(number).padStart(2, "0");
const spell = (seconds) => `${Math.floor(seconds / 60)}:${two(Math.floor(seconds % 60))}`;
const nowOf = (bar) => bar.data.stops[bar.data.now];

// ---------------------------------------------------------------- Clock

function load(bar) {
  try {
    bar.times = JSON.parse(localStorage.getItem(bar.place)) ?? {};
  } catch {
    bar.times ??= {};
  }
}

function save(bar) {
  try {
    localStorage.setItem(bar.place, JSON.stringify(bar.times));
  } catch {
    // the clock then lasts as long as the tab
  }
}

function drawClock(bar) {
  const { clock } = bar.parts;
  const total = bar.data.stops.reduce((sum, stop) => sum + stop.minutes, 0) * 60;
  const { begun, since } = bar.times;
  const time = Date.now() / 1000;
  const running = Boolean(begun);
  const step = running ? time - since : 0;
  const most = nowOf(bar).minutes * 60;
  clock.textContent = running
    ? `${spell(step)} of ${spell(most)} · ${spell(time - begun)} of ${spell(total)}`
    : `Start ${spell(total)}`;
  clock.dataset.late = String(running && most > 0 && step > most);
  clock.setAttribute("aria-label", running ? "The clock: this step, and the lesson; press to set it to zero" : "Start the clock");
}

function toggleClock(bar) {
  const time = Date.now() / 1000;
  bar.times = bar.times.begun ? {} : { begun: time, since: time, step: nowOf(bar).key };
  save(bar);
  drawClock(bar);
}

// ---------------------------------------------------------------- Moves

function move(bar, number, slide = 1) {
  const stop = bar.data.stops[number];
  if (!stop || (number === bar.at.number && slide === bar.at.slide)) return;
  bar.at = { number, slide };
  bar.send("move", { stop: stop.key, slide });
}

// One slide on or back; on a page that is on no projector, one stop. It counts from what was asked
// for last: a second press may come before the page has followed the first.
function turn(bar, by) {
  const { number, slide } = bar.at;
  const next = slide + by;
  if (bar.data.slide && next >= 1 && next <= bar.data.stops[number].slides) move(bar, number, next);
  else move(bar, number + by);
}

function onKey(bar, event) {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const by = MOVES[event.key];
  const from = event.composedPath()[0];
  if (!by || (from instanceof Element && isTaken(bar, event.key, from))) return;
  event.preventDefault();
  event.stopPropagation();
  turn(bar, by);
}

function isTaken(bar, key, from) {
  if (key.startsWith("Page")) return false;
  if (key === " ") return Boolean(from.closest(PRESSED));
  const own = from.matches(PICTURES) && (!bar.data.slide || from.matches(":focus-visible"));
  return own || Boolean(from.closest(ARROWS));
}

// ---------------------------------------------------------------- The slide's size

// The largest zoom at which the page does not scroll. Text breaks otherwise at each, so it is tried.
function fit(bar) {
  const main = document.querySelector("[data-testid=stMain]");
  const { style } = document.documentElement;
  if (!main || !bar.data.slide) return;
  const most = Math.min(window.innerWidth / SLIDE.width, window.innerHeight / SLIDE.height);
  const set = (zoom) => {
    style.setProperty("--projector", zoom.toFixed(3));
    style.setProperty("--projector-bar", (most / zoom).toFixed(3)); // the bar lies in what is zoomed
  };
  const fits = (zoom) => {
    set(zoom);
    return main.scrollHeight <= main.clientHeight;
  };
  if (window.innerWidth <= NARROW) {
    set(0.67);
    style.removeProperty("--projector-bar");
    return;
  }
  let high = most;
  let zoom = fits(high) ? high : LEAST * high;
  for (let halvings = 0; zoom < high && halvings < 7; halvings++) {
    const middle = (zoom + high) / 2;
    if (fits(middle)) zoom = middle;
    else high = middle;
  }
  const kept = bar.zoom && Math.abs(bar.zoom / zoom - 1) < SAME && fits(bar.zoom);
  if (!kept) bar.zoom = zoom;
  set(bar.zoom);
}

function watchSize(bar) {
  const block = document.querySelector(".stMainBlockContainer > *");
  if (!bar.data.slide || bar.watched === block) return;
  bar.watched = block;
  bar.sizes?.disconnect();
  bar.sizes = new ResizeObserver(() => {
    cancelAnimationFrame(bar.fitting);
    bar.fitting = requestAnimationFrame(() => fit(bar));
  });
  bar.sizes.observe(block);
  bar.sizes.observe(document.documentElement);
}

// ---------------------------------------------------------------- Draw

function dot(bar, stop, number) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = stop.label;
  button.title = stop.title;
  button.setAttribute("aria-label", /^\d/.test(stop.label) ? `Step ${stop.label}: ${stop.title}` : stop.title);
  button.addEventListener("click", () => move(bar, number));
  item.append(button);
  return item;
}

function drawDots(bar) {
  const { parts, data } = bar;
  const shown = data.stops.map((stop) => stop.key).join();
  if (bar.dots !== shown) parts.dots.replaceChildren(...data.stops.map((stop, number) => dot(bar, stop, number)));
  bar.dots = shown;
  [...parts.dots.children].forEach((item, number) => {
    if (number === data.now) item.firstChild.setAttribute("aria-current", "step");
    else item.firstChild.removeAttribute("aria-current");
  });
}

function whereText({ stops, now, slide }) {
  const { label, title, slides } = stops[now];
  const place = /^\d/.test(label) ? `Step ${label} of ${stops.at(-1).label}: ${title}` : title;
  return slide && slides > 1 ? `${place}, slide ${slide} of ${slides}` : place;
}

function update(bar, data, send) {
  const { parts } = bar;
  const { key } = data.stops[data.now];
  const at = { number: data.now, slide: data.slide || 1 };
  Object.assign(bar, { data, send, at, place: `apr-lab.clock.${data.clock}` });
  load(bar);
  if (bar.times.begun && bar.times.step !== key) {
    Object.assign(bar.times, { step: key, since: Date.now() / 1000 });
    save(bar);
  }
  drawDots(bar);
  const where = whereText(data);
  if (parts.where.textContent !== where) parts.where.textContent = where;
  parts.where.classList.toggle("unseen", data.slide > 0); // the title stands large above
  bar.root.dataset.slide = data.slide;
  parts.back.disabled = data.now === 0 && data.slide <= 1;
  parts.next.disabled = data.now === data.stops.length - 1 && data.slide >= (data.slide && data.stops[data.now].slides);
  drawClock(bar);
  watchSize(bar);
}

function create(root) {
  const parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  const bar = { root, parts, ending: new AbortController() };
  const { signal } = bar.ending;
  document.addEventListener("keydown", (event) => onKey(bar, event), { signal, capture: true });
  parts.back.addEventListener("click", () => turn(bar, -1), { signal });
  parts.next.addEventListener("click", () => turn(bar, 1), { signal });
  parts.clock.addEventListener("click", () => toggleClock(bar), { signal });
  bar.ticking = setInterval(() => {
    drawClock(bar);
    watchSize(bar); // the page may have been built anew after the bar was drawn
  }, 1000);
  return bar;
}

function leave(bar) {
  bar.ending.abort();
  bar.sizes?.disconnect();
  clearInterval(bar.ticking);
  cancelAnimationFrame(bar.fitting);
  for (const name of ["--projector", "--projector-bar"]) document.documentElement.style.removeProperty(name);
  BARS.delete(bar.root);
}

export default function mount({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".presenter");
  if (!root || !data) return undefined;
  const bar = BARS.get(root) ?? create(root);
  BARS.set(root, bar);
  update(bar, data, setTriggerValue);
  return () => leave(bar);
}
