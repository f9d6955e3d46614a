// A map of the space on a canvas: hovered, clicked, or walked with the arrow keys.

import { get, mediaUrl } from "./api.js";
import { card, contentOf } from "./cards.js";
import { $, el, fill, number } from "./dom.js";
import { itemOf } from "./search.js";

const COLOURS = 10; // of which the last is for all further classes
const SHAPES = ["circle", "square", "triangle", "diamond", "cross", "star"];
const PROJECTIONS = { pca: "PCA", tsne: "t-SNE", umap: "UMAP" };
// `items` are those that were pointed at.
const view = { map: null, about: null, scale: 1, x: 0, y: 0, at: -1, off: new Set(), items: new Map(), colour: "class", onLike: null };

export async function show(about, load, onLike) {
  Object.assign(view, { about, onLike });
  if (!about.map) {
    $("map-body").hidden = true;
    fill($("map-about"), "There is no map of this collection yet. Make one with ", el("code", {}, `commonspace map ${about.name}`), ".");
    return;
  }
  const map = await load();
  if (view.map !== map) begin(map);
  $("map-body").hidden = false;
  draw();
}

function begin(map) {
  Object.assign(view, { map, scale: 1, x: 0, y: 0, at: -1, off: new Set(), items: new Map() });
  const { ids, class_names: names, modalities } = map.points;
  const kept = map.kept_variance === null ? "" : ` keeping ${number(100 * map.kept_variance, 0)} % of the variance`;
  $("map-about").textContent = `${number(ids.length, 0)} of ${number(map.items, 0)} items, ${PROJECTIONS[map.projection] ?? map.projection}${kept}`;
  view.names = names;
  view.kinds = [...new Set(modalities)].sort();
  fill($("map-item"));
  legends();
}

// Classes by how often they are on the map: the first get colours of their own.
function legends() {
  const counts = tally(view.map.points.classes.map((at) => (at === null ? "unlabelled" : view.names[at])));
  const kinds = tally(view.map.points.modalities);
  const classes = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
  view.classColour = new Map(classes.map((name, at) => [name, name === "unlabelled" ? COLOURS - 1 : Math.min(at, COLOURS - 1)]));
  view.kindColour = new Map(view.kinds.map((name, at) => [name, at % COLOURS]));
  const byClass = view.colour === "class";
  fill($("map-classes"), classes.slice(0, 40).map((name) => entry("class", name, counts.get(name), byClass ? view.classColour.get(name) : null, "circle")));
  fill($("map-modalities"), view.kinds.map((name) =>
    entry("modality", name, kinds.get(name), byClass ? null : view.kindColour.get(name), SHAPES[view.kinds.indexOf(name) % SHAPES.length])));
}

function tally(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function entry(kind, name, n, colour, shape) {
  const key = `${kind}\n${name}`;
  const mark = el("canvas", { class: "mark", width: 32, height: 32, "aria-hidden": "true" });
  const box = el("input", { type: "checkbox", checked: !view.off.has(key), on: { change: () => {
    if (box.checked) view.off.delete(key);
    else view.off.add(key);
    draw();
  } } });
  const pen = mark.getContext("2d");
  paint(pen, shape, 16, 16, 10, colour === null ? css("--soft") : css(`--mark-${colour}`));
  return el("li", {}, el("label", {}, box, mark, el("span", { class: "name" }, name), el("span", { class: "count" }, number(n, 0))));
}

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const classOf = (at) => (view.map.points.classes[at] === null ? "unlabelled" : view.names[view.map.points.classes[at]]);
const kindOf = (at) => view.map.points.modalities[at];
const isShown = (at) => !view.off.has(`class\n${classOf(at)}`) && !view.off.has(`modality\n${kindOf(at)}`);

function place(at) {
  const { width, height } = $("map").getBoundingClientRect();
  const unit = (Math.min(width, height) / 2) * 0.94 * view.scale;
  const wide = Math.max(1, Math.min(1.8, width / height)); // a wide window is not left empty
  const { x, y } = view.map.points;
  return [width / 2 + (x[at] - view.x) * unit * wide, height / 2 - (y[at] - view.y) * unit];
}

export function draw() {
  if (!view.map || $("map-view").hidden) return;
  const canvas = $("map");
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const colours = Array.from({ length: COLOURS }, (_, at) => css(`--mark-${at}`));
  const size = Math.max(2.2, Math.min(6, 3.2 * Math.sqrt(view.scale)));
  pen.globalAlpha = 0.8;
  for (let at = 0; at < view.map.points.ids.length; at += 1) {
    if (!isShown(at)) continue;
    const [x, y] = place(at);
    const colour = view.colour === "class" ? view.classColour.get(classOf(at)) : view.kindColour.get(kindOf(at));
    paint(pen, SHAPES[view.kinds.indexOf(kindOf(at)) % SHAPES.length], x, y, size, colours[colour]);
  }
  pen.globalAlpha = 1;
  if (view.at >= 0) ring(pen, ...place(view.at), size + 4);
}

function ring(pen, x, y, radius) {
  pen.lineWidth = 3;
  pen.strokeStyle = css("--ink");
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.stroke();
}

function paint(pen, shape, x, y, r, colour) {
  pen.fillStyle = colour;
  pen.beginPath();
  if (shape === "circle") pen.arc(x, y, r, 0, 2 * Math.PI);
  else if (shape === "square") pen.rect(x - r * 0.88, y - r * 0.88, r * 1.76, r * 1.76);
  else polygon(pen, x, y, r * 1.2, CORNERS[shape]);
  pen.fill();
}

const around = (n, inner = 1, turn = -Math.PI / 2) =>
  Array.from({ length: n }, (_, at) => [at % 2 ? inner : 1, turn + (2 * Math.PI * at) / n]);
const CORNERS = { triangle: around(3), diamond: around(4), cross: around(8, 0.35, 0), star: around(10, 0.45) };

function polygon(pen, x, y, r, corners) {
  for (const [length, angle] of corners) pen.lineTo(x + r * length * Math.cos(angle), y + r * length * Math.sin(angle));
  pen.closePath();
}

function nearest(x, y, reach = 16) {
  let best = -1;
  let least = reach ** 2;
  for (let at = 0; at < view.map.points.ids.length; at += 1) {
    if (!isShown(at)) continue;
    const [px, py] = place(at);
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [best, least] = [at, distance];
  }
  return best;
}

// The next point in a direction: near, and rather ahead than aside.
function next(dx, dy) {
  const { width, height } = $("map").getBoundingClientRect();
  if (view.at < 0) return nearest(width / 2, height / 2, Infinity);
  const [x, y] = place(view.at);
  let best = view.at;
  let least = Infinity;
  for (let at = 0; at < view.map.points.ids.length; at += 1) {
    if (at === view.at || !isShown(at)) continue;
    const [px, py] = place(at);
    const ahead = (px - x) * dx + (py - y) * dy;
    const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
    const cost = ahead + 2 * aside;
    if (ahead > 0.5 && aside <= ahead * 1.5 && cost < least) [best, least] = [at, cost];
  }
  return best;
}

const labelOf = (at) => view.map.points.labels[at] ?? view.map.points.ids[at];
const saidOf = (at) => `${labelOf(at)}, ${kindOf(at)}, ${classOf(at)}`;

function point(at, { tip = true, say = false } = {}) {
  view.at = at;
  draw();
  if (say && at >= 0) $("map-said").textContent = saidOf(at);
  if (tip && at >= 0) showTip(at);
  else $("map-tip").hidden = true;
}

let tipTimer = 0;
function showTip(at) {
  const tip = $("map-tip");
  fill(tip, el("strong", { dir: "auto" }, labelOf(at)), el("span", {}, `${kindOf(at)} · ${classOf(at)}`));
  tip.hidden = false;
  putTip(at, tip);
  clearTimeout(tipTimer);
  if (view.about.media) tipTimer = setTimeout(() => tipPicture(at, tip).catch(() => {}), 120);
}

function putTip(at, tip) {
  const [x, y] = place(at);
  const { width } = $("map").getBoundingClientRect();
  tip.style.left = `${Math.max(0, Math.min(width - tip.offsetWidth, x + 12))}px`;
  const above = y - tip.offsetHeight - 12;
  tip.style.top = `${above < 0 ? y + 14 : above}px`; // never on the point itself
}

async function tipPicture(at, tip) {
  const { about, items, map } = view;
  if (!items.has(at)) items.set(at, await itemOf(about, map.points.ids[at], map.points.modalities[at]));
  if (contentOf(items.get(at).payload).kind !== "image") return;
  const src = await mediaUrl(items.get(at), about.name, { thumbnail: true, size: 96 });
  if (view.map === map && view.at === at && !tip.hidden && !tip.querySelector("img")) {
    tip.prepend(el("img", { src, alt: "" }));
    putTip(at, tip);
  } else URL.revokeObjectURL(src);
}

async function pick(at) {
  if (at < 0) return;
  point(at, { say: true });
  const box = $("map-item");
  try {
    const item = await itemOf(view.about, view.map.points.ids[at], kindOf(at));
    if (view.at === at) fill(box, card(item, { collection: view.about.name, media: view.about.media, onLike: view.onLike, level: 2 }));
  } catch (error) {
    fill(box, el("p", { class: "error" }, error.message));
  }
}

function zoom(factor, x, y) {
  const { width, height } = $("map").getBoundingClientRect();
  const unit = (Math.min(width, height) / 2) * 0.94 * view.scale;
  const wide = Math.max(1, Math.min(1.8, width / height));
  const [mx, my] = [x ?? width / 2, y ?? height / 2];
  const scale = Math.max(1, Math.min(40, view.scale * factor));
  const keep = (1 / unit) * (1 - view.scale / scale);
  view.x += ((mx - width / 2) / wide) * keep;
  view.y -= (my - height / 2) * keep;
  view.scale = scale;
  if (scale === 1) view.x = view.y = 0;
  draw();
  if (!$("map-tip").hidden && view.at >= 0) showTip(view.at);
}

function centre(at) {
  const { width, height } = $("map").getBoundingClientRect();
  const [x, y] = place(at);
  if (x > 0 && y > 0 && x < width && y < height) return;
  view.x = view.map.points.x[at];
  view.y = view.map.points.y[at];
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function keyDown(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in ARROWS) {
    const at = next(...ARROWS[event.key]);
    if (at >= 0) {
      centre(at);
      point(at, { say: true });
    }
  } else if (event.key === "Enter" || event.key === " ") pick(view.at);
  else if (event.key === "+" || event.key === "=") zoom(1.5, ...(view.at >= 0 ? place(view.at) : []));
  else if (event.key === "-") zoom(1 / 1.5);
  else if (event.key === "Escape") point(-1);
  else return;
  event.preventDefault();
}

export function start() {
  const canvas = $("map");
  const inside = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const fingers = new Map();
  let moved = 0;
  canvas.addEventListener("keydown", keyDown);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.002), ...inside(event));
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, inside(event));
    canvas.setPointerCapture(event.pointerId);
    moved = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = inside(event);
    const before = fingers.get(event.pointerId);
    if (!before) return hover(now);
    moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
    if (fingers.size === 1) pan(now, before);
    else pinch(event.pointerId, now);
    fingers.set(event.pointerId, now);
    return undefined;
  });
  const pinch = (id, now) => {
    const [other] = [...fingers].filter(([finger]) => finger !== id).map(([, where]) => where);
    const apart = (where) => Math.hypot(where[0] - other[0], where[1] - other[1]) || 1;
    zoom(apart(now) / apart(fingers.get(id)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  };
  canvas.addEventListener("pointerup", (event) => {
    fingers.delete(event.pointerId);
    if (moved < 6) pick(nearest(...inside(event), 24));
  });
  canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => { $("map-tip").hidden = true; });
  canvas.addEventListener("blur", () => { $("map-tip").hidden = true; });
  $("zoom-in").addEventListener("click", () => zoom(1.6));
  $("zoom-out").addEventListener("click", () => zoom(1 / 1.6));
  $("zoom-all").addEventListener("click", () => zoom(1e-9));
  for (const box of document.getElementsByName("colour")) {
    box.addEventListener("change", () => {
      view.colour = box.value;
      legends();
      draw();
    });
  }
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (!view.map) return;
    legends();
    draw();
  });
}

function pan(now, before) {
  const { width, height } = $("map").getBoundingClientRect();
  const unit = (Math.min(width, height) / 2) * 0.94 * view.scale;
  const wide = Math.max(1, Math.min(1.8, width / height));
  if (view.scale === 1) return;
  view.x = Math.max(-1, Math.min(1, view.x - (now[0] - before[0]) / (unit * wide)));
  view.y = Math.max(-1, Math.min(1, view.y + (now[1] - before[1]) / unit));
  $("map-tip").hidden = true;
  draw();
}

function hover(now) {
  const at = view.map ? nearest(...now) : -1;
  $("map").classList.toggle("on-point", at >= 0);
  if (at >= 0) {
    if (at !== view.at || $("map-tip").hidden) point(at);
  } else $("map-tip").hidden = true;
}

export const load = (collection) => get("v1/page/map", { collection });
