// The presenter's bar. Arrow keys, Space and the page keys of a remote control change the step,
// unless something on the page has a use for the key. The clock is kept in the browser, so that a
// reload does not set it back; a press starts it, another sets it to zero.

const LARGE = "28px"; // the smallest text is 14 of 16, and stands at 24.5
const MOVES = { ArrowRight: 1, PageDown: 1, " ": 1, ArrowLeft: -1, PageUp: -1 };
const TAKEN = "input, textarea, select, button, a, summary, canvas, [tabindex='0'], [role=radio], [role=slider], [role=option]";
const BARS = new WeakMap();

const two = (number) => String(number).padStart(2, "0");
const spell = (seconds) => `${Math.floor(seconds / 60)}:${two(Math.floor(seconds % 60))}`;

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
  const { steps, now } = bar.data;
  const total = steps.reduce((sum, step) => sum + step.minutes, 0) * 60;
  const { begun, since } = bar.times;
  const time = Date.now() / 1000;
  const running = Boolean(begun);
  const step = running ? time - since : 0;
  clock.textContent = running
    ? `${spell(step)} of ${spell(steps[now].minutes * 60)} · ${spell(time - begun)} of ${spell(total)}`
    : `Start ${spell(total)}`;
  clock.dataset.late = String(running && step > steps[now].minutes * 60);
  clock.setAttribute("aria-label", running ? "The clock: this step, and the lesson; press to set it to zero" : "Start the clock");
}

function toggleClock(bar) {
  const time = Date.now() / 1000;
  bar.times = bar.times.begun ? {} : { begun: time, since: time, step: bar.data.now };
  save(bar);
  drawClock(bar);
}

function move(bar, step) {
  if (step < 0 || step >= bar.data.steps.length || step === bar.asked) return;
  bar.asked = step;
  bar.send("step", step);
}

function onKey(bar, event) {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
  const by = MOVES[event.key];
  const from = event.composedPath()[0];
  const paging = event.key.startsWith("Page");
  if (!by || (!paging && from instanceof Element && from.closest(TAKEN))) return;
  event.preventDefault();
  move(bar, bar.data.now + by);
}

function dot(bar, step, number) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = String(number + 1);
  button.title = step.title;
  button.setAttribute("aria-label", `Step ${number + 1}: ${step.title}`);
  button.addEventListener("click", () => move(bar, number));
  item.append(button);
  return item;
}

function update(bar, data, send) {
  const { parts } = bar;
  Object.assign(bar, { data, send, asked: data.now, place: `apr-lab.clock.${data.clock}` });
  load(bar);
  if (bar.times.begun && bar.times.step !== data.now) {
    Object.assign(bar.times, { step: data.now, since: Date.now() / 1000 });
    save(bar);
  }
  if (parts.dots.children.length !== data.steps.length) {
    parts.dots.replaceChildren(...data.steps.map((step, number) => dot(bar, step, number)));
  }
  [...parts.dots.children].forEach((item, number) => {
    if (number === data.now) item.firstChild.setAttribute("aria-current", "step");
    else item.firstChild.removeAttribute("aria-current");
  });
  const where = `Step ${data.now + 1} of ${data.steps.length}: ${data.steps[data.now].title}`;
  if (parts.where.textContent !== where) parts.where.textContent = where;
  parts.where.classList.toggle("unseen", data.large); // the title stands large beneath
  parts.back.disabled = data.now === 0;
  parts.next.disabled = data.now === data.steps.length - 1;
  document.documentElement.style.fontSize = data.large ? LARGE : "";
  drawClock(bar);
}

function create(root) {
  const parts = Object.fromEntries([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
  const bar = { root, parts, ending: new AbortController() };
  const { signal } = bar.ending;
  document.addEventListener("keydown", (event) => onKey(bar, event), { signal });
  parts.back.addEventListener("click", () => move(bar, bar.data.now - 1), { signal });
  parts.next.addEventListener("click", () => move(bar, bar.data.now + 1), { signal });
  parts.clock.addEventListener("click", () => toggleClock(bar), { signal });
  bar.ticking = setInterval(() => drawClock(bar), 1000);
  return bar;
}

function leave(bar) {
  bar.ending.abort();
  clearInterval(bar.ticking);
  document.documentElement.style.fontSize = "";
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
