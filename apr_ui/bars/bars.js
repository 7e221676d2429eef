// The bars: how sure a model is of each class, now and before, moved in place at each change.

export default function mount({ parentElement, data }) {
  const root = parentElement.querySelector(".bars");
  if (!root || !data) return;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  barRows(part("rows"), data.classes).forEach((row, k) => {
    const [value, leads, truth] = [data.values[k], k === data.leading, k === data.label];
    const notes = [truth ? `, ${data.words[0]}` : "", leads ? ", the answer" : ""].join("");
    showBar(row, data.classes[k], value, data.clean?.[k] ?? null, notes);
    Object.assign(row.dataset, { name: data.classes[k], value });
    row.toggleAttribute("data-leads", leads);
    row.toggleAttribute("data-true", truth);
    row.toggleAttribute("data-wrong", leads && data.striped);
  });
  const line = data.clean ? ` Line: without ${data.words[1]}.` : "";
  const left = data.left_out ? ` ${data.left_out.toLocaleString("en")} other classes have no bar.` : "";
  part("key").textContent = `Bold: ${data.words[0]}. ▸: the model's answer.${line}${left}`;
  if (root.dataset.shown !== data.said && root.dataset.shown !== undefined) part("live").textContent = data.said;
  Object.assign(root.dataset, { shown: data.said, number: data.number });
}
