// Conditions on payload fields, as the service understands them.

import { $, el, fill } from "./dom.js";

export function show(fields, where, onChange) {
  const names = new Set(fields.map((field) => field.name));
  const unknown = Object.keys(where).filter((name) => !names.has(name)).map((name) => ({ name, values: [where[name]] }));
  const all = [...fields, ...unknown];
  $("filters-box").hidden = all.length === 0;
  fill($("filters"), all.map((field, at) => control(field, at, where, onChange)));
  count(where);
}

export function count(where) {
  const n = Object.keys(where).length;
  $("filters-count").textContent = n ? `(${n})` : "";
  $("filters-clear").hidden = n === 0;
}

function control(field, at, where, onChange) {
  return field.values ? choice(field, `filter-${at}`, where, onChange) : range(field, `filter-${at}`, where, onChange);
}

function choice(field, id, where, onChange) {
  const wanted = field.name in where ? JSON.stringify(where[field.name]) : "";
  const values = [...new Set(field.values.map((value) => JSON.stringify(value)))];
  if (wanted && !values.includes(wanted)) values.push(wanted);
  const options = values.map((value) => el("option", { value, selected: value === wanted }, label(JSON.parse(value))));
  const select = el("select", { id, on: { change: () => onChange(field.name, select.value ? JSON.parse(select.value) : undefined) } },
    el("option", { value: "" }, "any"), options);
  return el("p", {}, el("label", { for: id }, field.name), select);
}

const label = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

function range(field, id, where, onChange) {
  const now = where[field.name] && typeof where[field.name] === "object" ? where[field.name] : {};
  const change = () => {
    const condition = {};
    if (low.value !== "") condition.gte = Number(low.value);
    if (high.value !== "") condition.lte = Number(high.value);
    onChange(field.name, Object.keys(condition).length ? condition : undefined);
  };
  const box = (end, hint) =>
    el("input", { id: `${id}-${end}`, type: "number", step: "any", placeholder: hint, "aria-label": `${field.name}, ${end}`, value: now[end === "from" ? "gte" : "lte"] ?? "", on: { change } });
  const low = box("from", field.low);
  const high = box("to", field.high);
  return el("p", {}, el("label", { for: `${id}-from` }, field.name), el("span", { class: "range" }, low, "–", high));
}
