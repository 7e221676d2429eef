
// Whenever a component's data change, Streamlit calls its script after an import that it waits for;
// and Chromium serves the imports that wait for one script in any order. In a page's first moments
// an older call may therefore come last: it is left out. And Streamlit runs what ends an overtaken
// call late: only what the newest one returned ends the component.
const NEWEST = new WeakMap(); // by place: of which session the newest call's data are, and their number

export default function mountInOrder(call) {
  const [session, number] = call.data?.order ?? ["", 0];
  const before = NEWEST.get(call.parentElement);
  if (before?.session === session && number < before.number) return undefined;
  const newest = { session, number };
  NEWEST.set(call.parentElement, newest);
  const end = mount(call);
  return end && (() => NEWEST.get(call.parentElement) === newest && end());
}
