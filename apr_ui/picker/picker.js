// The picker: small pictures of which one is chosen, as a group of radio buttons.
// Arrow keys move the choice, as radio buttons do everywhere.

const KEYS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };

function option(item, number, items, choose) {
  const button = document.createElement("button");
  const image = document.createElement("img");
  const title = document.createElement("span");
  image.src = `data:image/png;base64,${item.png}`;
  image.alt = "";
  title.textContent = item.title;
  button.type = "button";
  button.title = item.note;
  button.setAttribute("role", "radio");
  if (items.some((other) => other !== item && other.title === item.title)) {
    button.setAttribute("aria-label", `${item.title}, ${number + 1} of ${items.length}`);
  }
  button.dataset.testid = `picker-${number}`;
  button.append(image, title);
  button.addEventListener("click", () => choose(number));
  button.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS)) return;
    event.preventDefault();
    choose(number + KEYS[event.key], true);
  });
  return button;
}

function mark(group, chosen) {
  [...group.children].forEach((button, number) => {
    button.setAttribute("aria-checked", String(number === chosen));
    button.tabIndex = number === chosen ? 0 : -1;
  });
}

export default function mount({ parentElement, data, setTriggerValue }) {
  const group = parentElement.querySelector(".picker");
  const shown = JSON.stringify(data.items.map((item) => [item.title, item.note]));
  group.setAttribute("aria-label", data.label);
  const choose = (number, focus = false) => {
    const chosen = (number + data.items.length) % data.items.length;
    mark(group, chosen);
    if (focus) group.children[chosen].focus();
    setTriggerValue("chosen", chosen);
  };
  if (group.dataset.shown !== shown) {
    group.replaceChildren(...data.items.map((item, number, items) => option(item, number, items, choose)));
    group.dataset.shown = shown;
  }
  mark(group, data.chosen);
}
