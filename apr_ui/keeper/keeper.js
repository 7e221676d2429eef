// Keeps a text in this browser's storage. Where that is closed, as in some private windows, the
// text lasts as long as the tab.

const MEMORY = new Map();
const TOLD = new Map();

function read(place) {
  try {
    return localStorage.getItem(place) ?? "";
  } catch {
    return MEMORY.get(place) ?? "";
  }
}

function write(place, value) {
  MEMORY.set(place, value);
  try {
    if (value) localStorage.setItem(place, value);
    else localStorage.removeItem(place);
  } catch {
    // kept in memory, above
  }
}

export default function mount({ key, data, setStateValue }) {
  const place = `apr-lab.${data.name}`;
  if (typeof data.value === "string") write(place, data.value);
  const value = read(place);
  if (TOLD.get(key) !== value) {
    TOLD.set(key, value);
    setStateValue("kept", value);
  }
  return () => TOLD.delete(key);
}
