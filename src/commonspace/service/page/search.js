// The query as it stands, and its answer as a grid of cards.

import { get, post, postFiles } from "./api.js";
import { card, nameOf } from "./cards.js";
import { $, el, fill, number } from "./dom.js";
import { describe } from "./scores.js";

const PAGE = 24;
let running = null;

export const isEmpty = (query) => !query.text && !query.items.length && !query.files.length;

const MODELS = /\.(obj|off|ply|stl)$/i; // browsers know no type of these

export function fileKind(file) {
  if (MODELS.test(file.name)) return "mesh";
  return file.type.split("/")[0] || "file";
}

function body(query, about, offset) {
  const content = { collection: about.name, k: PAGE, offset };
  if (query.targets.length) content.modality = query.targets;
  if (Object.keys(query.where).length) content.where = query.where;
  if (query.how === "words") return { ...content, words: query.text };
  const parts = query.items.map(({ id, modality }) => ({ item: id, modality }));
  query.files.forEach((file, place) => parts.push({ file: place, ...(query.fileReader ? { modality: query.fileReader } : {}) }));
  if (query.text) parts.push({ text: query.text, ...(query.reader ? { modality: query.reader } : {}) });
  return { ...content, query: parts };
}

export async function run(query, about, { onLike, offset = 0 }) {
  running?.abort();
  running = new AbortController();
  const { signal } = running;
  const began = performance.now();
  $("results").setAttribute("aria-busy", "true");
  if (!offset) $("status").textContent = "Searching…";
  try {
    const content = body(query, about, offset);
    const files = query.how === "words" ? [] : query.files;
    const answer = files.length ? await postFiles("v1/search", content, files, signal) : await post("v1/search", content, signal);
    show(answer, query, about, { onLike, offset, milliseconds: performance.now() - began });
  } finally {
    if (running?.signal === signal) $("results").removeAttribute("aria-busy");
  }
}

function show(answer, query, about, { onLike, offset, milliseconds }) {
  const asks = new Set(query.items.map((item) => key(item.id, item.modality)));
  const hits = answer.hits[0].filter((hit) => !asks.has(key(hit.id, hit.modality))); // nobody looks for what they hold
  const best = offset ? show.best : hits[0]?.score ?? 0;
  show.best = best;
  const context = { measure: answer.measure, best };
  const cards = hits.map((hit) =>
    el("li", {}, card(hit, { collection: about.name, media: about.media, score: describe(hit, context), onLike })));
  if (offset) $("results").append(...cards);
  else fill($("results"), cards);
  const n = $("results").children.length;
  $("status").textContent = n ? `${n} ${n === 1 ? "item" : "items"}${answer.next_offset ? ", more below" : ""} · ${number(milliseconds, 0)} ms` : "Nothing found. Try other words, or fewer filters.";
  $("more").hidden = answer.next_offset === null;
  $("more").onclick = async () => {
    await run(query, about, { onLike, offset: answer.next_offset });
    cards.at(-1)?.nextElementSibling?.querySelector("button")?.focus();
  };
  $("results-title").textContent = "Results";
}

// Something to begin with: items spread over the map.
export async function suggest(about, map, { onLike }) {
  const places = spread(map.points.ids.length, 12);
  const wanted = new Set(places.map((at) => key(map.points.ids[at], map.points.modalities[at])));
  const ids = [...new Set(places.map((at) => map.points.ids[at]))];
  const { items } = await post("v1/items/get", { collection: about.name, ids });
  const chosen = items.filter((item) => wanted.has(key(item.id, item.modality)));
  $("results-title").textContent = "Start from one of these";
  $("status").textContent = `or search ${number(about.items, 0)} items`;
  fill($("results"), chosen.map((item) => el("li", {}, card(item, { collection: about.name, media: about.media, onLike }))));
}

export function clear(about) {
  $("results-title").textContent = "Results";
  $("status").textContent = about ? `${number(about.items, 0)} items to search. Type, or add a file.` : "";
  fill($("results"));
  $("more").hidden = true;
}

const key = (id, modality) => JSON.stringify([id, modality]);
const spread = (total, n) => Array.from({ length: Math.min(n, total) }, (_, at) => Math.floor(((at + 0.5) * total) / Math.min(n, total)));

export async function itemOf(about, id, modality) {
  const { items } = await get("v1/items", { id, modality, collection: about.name });
  return items[0];
}

export { nameOf };
