// Elements from plain data. Text only ever becomes text: nothing here reads markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") for (const [event, call] of Object.entries(value)) made.addEventListener(event, call);
    else if (name in PROPERTIES) made[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) made.append(child); // strings become text nodes
  }
  return made;
}

const PROPERTIES = { textContent: 1, checked: 1, value: 1, disabled: 1, hidden: 1, selected: 1 };

// What goes gives back the files that it showed: the browser keeps them as long as they have an address.
export function fill(parent, ...children) {
  for (const shown of parent.querySelectorAll('[src^="blob:"]')) {
    const { src } = shown;
    shown.removeAttribute("src"); // else what still loads would complain that its file is gone
    shown.load?.();
    URL.revokeObjectURL(src);
  }
  parent.replaceChildren(...children.flat(Infinity).filter(Boolean));
}

export const number = (value, digits = 2) =>
  Number.isFinite(value) ? value.toLocaleString("en", { maximumFractionDigits: digits }) : "–";
