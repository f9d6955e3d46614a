// The report of `commonspace inspect --json`, for those who look after a collection.

import { get } from "./api.js";
import { $, el, fill, number } from "./dom.js";

const WORDS = { fine: "Fine", look: "Worth a look", broken: "Broken" };
const ORDER = ["broken", "look", "fine"];

const severityOf = (value) => (value in WORDS ? value : "look");
const list = (value) => (Array.isArray(value) ? value : []);
const entries = (value) => (value && typeof value === "object" ? Object.entries(value) : []);

export async function show(collection, there) {
  if (!there) return fill($("health"), hint(collection));
  const report = await get("v1/page/health", { collection });
  return fill($("health"), verdict(report), findings(report), directions(report), modalities(report), suspects(report));
}

function hint(collection) {
  return [
    el("p", {}, "There is no report of this collection yet. Make one from the model and labelled data that it has not seen, and store it beside the collection:"),
    el("pre", { tabindex: 0 }, `commonspace inspect MODEL DATA --json > ${collection}/health.json`),
  ];
}

function verdict(report) {
  const severity = severityOf(report.verdict);
  const counts = ORDER.map((name) => [name, list(report.findings).filter((found) => found.severity === name).length]);
  const told = counts.filter(([, n]) => n).map(([name, n]) => `${n} ${WORDS[name].toLowerCase()}`).join(", ");
  return el("div", { class: `verdict ${severity}` }, el("strong", {}, WORDS[severity]), el("span", {}, told ? `Of ${list(report.findings).length} checks: ${told}.` : ""));
}

function findings(report) {
  const rank = (found) => ORDER.indexOf(severityOf(found.severity));
  const rows = [...list(report.findings)].sort((a, b) => rank(a) - rank(b));
  const cells = rows.map((found) => [
    badge(severityOf(found.severity)), found.what, found.where, number(found.value, 3), number(found.limits?.look ?? NaN, 3), found.note || "",
  ]);
  const worrying = rows.filter((found) => found.severity !== "fine");
  const meanings = [...new Map(worrying.map((found) => [found.what, found.meaning])).entries()];
  return [
    meanings.length ? el("dl", { class: "meanings" }, meanings.flatMap(([what, text]) => [el("dt", {}, what), el("dd", {}, text)])) : null,
    table("Checks", ["verdict", "check", "of", "value", "look from", "note"], cells, { numbers: [3, 4], folded: worrying.length === 0 }),
  ];
}

const badge = (severity) => el("span", { class: `badge ${severity}` }, WORDS[severity]);

function directions(report) {
  const cells = entries(report.directions).map(([name, found]) => [
    name.replace("->", " → "), number(found.agreement, 3), number(found.chance, 3), number(found.hubness?.largest ?? NaN, 3),
    number(found.calibration?.fitted?.error ?? NaN, 3), confusion(found),
  ]);
  return table("From one modality to another", ["direction", "agreement", "chance", "largest hub", "calibration error", "most confused"], cells, { numbers: [1, 2, 3, 4] });
}

function confusion(found) {
  const top = list(found.confusions)[0];
  return top ? `${top.query} → ${top.found} (${number(top.share)})` : "";
}

function modalities(report) {
  const cells = entries(report.modalities).map(([name, found]) => [
    name, found.n_items ?? "–", number(found.within?.agreement ?? NaN, 3), number(found.concentration ?? NaN, 3), number(found.flagged ?? NaN, 3), found.unlabelled ?? "–",
  ]);
  return table("Modalities", ["modality", "items", "agreement within", "mean cosine", "suspect labels", "unlabelled"], cells, { numbers: [1, 2, 3, 4, 5] });
}

function suspects(report) {
  const cells = list(report.suspects).map((row) => [row.modality, row.item, row.label ?? "–", row.suggested ?? "–", number(row.score)]);
  return table("Labels that look wrong", ["modality", "item", "label", "neighbours say", "score"], cells, { numbers: [4] });
}

function table(title, header, rows, { numbers = [], folded = false } = {}) {
  if (!rows.length) return null;
  const right = (at) => (numbers.includes(at) ? "number" : undefined);
  const made = el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title },
    el("table", {},
      el("caption", { class: "hidden" }, title),
      el("thead", {}, el("tr", {}, header.map((name, at) => el("th", { scope: "col", class: right(at) }, name)))),
      el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell, at) => el("td", { class: right(at) }, cell instanceof Node ? cell : String(cell))))))));
  if (!folded) return [el("h2", {}, title), made];
  return el("details", {}, el("summary", {}, `${title} (${rows.length})`), made);
}
