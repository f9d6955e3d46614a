// What is asked, as a shareable address: everything but files is in the hash.

export function read() {
  const values = new URLSearchParams(location.hash.slice(1));
  const where = {};
  for (const [name, text] of values) {
    if (name.startsWith("f.")) where[name.slice(2)] = parse(text);
  }
  return {
    view: ["map", "health"].includes(values.get("view")) ? values.get("view") : "search",
    collection: values.get("c") || null,
    text: values.get("q") || "",
    how: values.get("how") === "words" ? "words" : "meaning",
    reader: values.get("as") || null,
    targets: values.getAll("in"),
    items: values.getAll("like").map(parse).filter((pair) => Array.isArray(pair) && pair.length === 2)
      .map(([id, modality]) => ({ id: String(id), modality: String(modality) })),
    where,
  };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function write(state, { replace = false } = {}) {
  const hash = `#${encode(state)}`;
  if (hash === location.hash || (hash === "#" && !location.hash)) return;
  history[replace ? "replaceState" : "pushState"](null, "", hash === "#" ? location.pathname : hash);
}

function encode(state) {
  const values = new URLSearchParams();
  if (state.view !== "search") values.set("view", state.view);
  if (state.collection) values.set("c", state.collection);
  if (state.text) values.set("q", state.text);
  if (state.how !== "meaning") values.set("how", state.how);
  if (state.reader) values.set("as", state.reader);
  for (const name of state.targets) values.append("in", name);
  for (const item of state.items) values.append("like", JSON.stringify([item.id, item.modality]));
  for (const [name, value] of Object.entries(state.where)) values.set(`f.${name}`, JSON.stringify(value));
  return values.toString();
}
