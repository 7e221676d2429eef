
// A list of bars, one a class: its name, its probability, and a line where that was before.
const LONG = 12; // letters from which a class's name has a line of its own, above its bar

function newBar() {
  const made = (tag, type) => Object.assign(document.createElement(tag), { className: type });
  const [row, name, track, fill, was, value] = [made("li", ""), made("span", "name"), made("div", "track"), made("div", "fill"), made("i", "was"), made("b", "value")];
  track.append(fill, was);
  row.append(name, track, value);
  return row;
}

// The list's rows, one for each name, made and removed as needed.
function barRows(list, names) {
  while (list.children.length < names.length) list.append(newBar());
  while (list.children.length > names.length) list.lastChild.remove();
  list.toggleAttribute("data-long", names.some((name) => name.length > LONG));
  return [...list.children];
}

function showBar(row, name, value, was, notes) {
  row.querySelector(".name").textContent = name;
  row.querySelector(".fill").style.width = `${100 * value}%`;
  row.querySelector(".was").hidden = was === null;
  row.querySelector(".was").style.left = `calc(${100 * (was ?? 0)}% - 1px)`;
  row.querySelector(".value").textContent = finePercent(value);
  row.setAttribute("aria-label", `${name} ${finePercent(value)}${notes}`);
}
