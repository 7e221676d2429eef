// The bars: how sure a model is of each class, now and before, moved in place at each change.

const LONG = 12; // letters from which a class's name has a line of its own, above its bar

function newRow() {
  const row = document.createElement("li");
  const made = (tag, type) => Object.assign(document.createElement(tag), { className: type });
  const [label, track, fill, clean, value] = [made("span", "name"), made("div", "track"), made("div", "fill"), made("i", "clean"), made("b", "value")];
  track.append(fill, clean);
  row.append(label, track, value);
  return row;
}

function showRow(row, { name, value, clean, leads, truth, counts }) {
  row.dataset.name = name;
  row.querySelector(".name").textContent = name;
  row.toggleAttribute("data-leads", leads);
  row.toggleAttribute("data-true", truth);
  row.dataset.value = value;
  row.querySelector(".fill").style.width = `${100 * value}%`;
  row.querySelector(".clean").style.left = `calc(${100 * clean}% - 1px)`;
  row.querySelector(".value").textContent = finePercent(value);
  const notes = [truth ? `, ${counts}` : "", leads ? ", the answer" : ""].join("");
  row.setAttribute("aria-label", `${row.dataset.name} ${finePercent(value)}${notes}`);
}

export default function mount({ parentElement, data }) {
  const root = parentElement.querySelector(".bars");
  if (!root || !data) return;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const rows = part("rows");
  if (rows.children.length !== data.classes.length) rows.replaceChildren(...data.classes.map(newRow));
  rows.toggleAttribute("data-long", data.classes.some((name) => name.length > LONG));
  [...rows.children].forEach((row, k) => {
    showRow(row, { name: data.classes[k], value: data.values[k], clean: data.clean[k], leads: k === data.leading, truth: k === data.label, counts: data.words[0] });
  });
  const left = data.left_out ? ` ${data.left_out.toLocaleString("en")} less likely classes have no bar.` : "";
  part("key").textContent = `Bold: ${data.words[0]}. ▸: the model's answer. Line: without ${data.words[1]}.${left}`;
  if (root.dataset.shown !== data.said && root.dataset.shown !== undefined) part("live").textContent = data.said;
  Object.assign(root.dataset, { shown: data.said, number: data.number });
}
