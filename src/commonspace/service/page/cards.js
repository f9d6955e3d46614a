// One item as a card: its picture, sound, film or text, what it is, and how near.

import { mediaUrl } from "./api.js";
import { el, fill, number } from "./dom.js";

const KINDS = {
  image: /\.(png|jpe?g|gif|bmp|webp)$/i,
  audio: /\.(wav|flac|ogg|oga|mp3|opus)$/i,
  video: /\.(mp4|webm|mov|mkv)$/i,
};
const HIDDEN = new Set(["text", "path", "classes"]);
const LONGEST = 280;

const near = "IntersectionObserver" in window
  ? new IntersectionObserver((entries) => {
    for (const entry of entries.filter((found) => found.isIntersecting)) {
      near.unobserve(entry.target);
      entry.target.dispatchEvent(new Event("near"));
    }
  }, { rootMargin: "300px" })
  : null;

// Called once the element is about to be seen.
function whenNear(element, call) {
  element.addEventListener("near", call, { once: true });
  if (near) near.observe(element);
  else call();
}

const isText = (value) => typeof value === "string" && value !== "";

function kindOf(path) {
  return Object.keys(KINDS).find((kind) => KINDS[kind].test(path)) ?? null;
}

// An item's own content comes first in its payload; what it is paired with follows.
export function contentOf(payload) {
  const order = Object.keys(payload).filter((name) => (name === "text" || name === "path") && isText(payload[name]));
  return { first: order[0] ?? null, kind: isText(payload.path) ? kindOf(payload.path) : null };
}

export function nameOf(item) {
  return isText(item.payload.text) ? short(item.payload.text, 80) : item.id;
}

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

export function card(item, { collection, media, score, onLike, level = 3 }) {
  const { first, kind } = contentOf(item.payload);
  const main = [];
  const plate = media && kind ? medium(item, kind, collection) : null;
  const text = isText(item.payload.text) ? words(item.payload.text, first === "text") : null;
  if (first === "text") main.push(el("div", { class: "plate" }, text, plate && paired(plate)));
  else main.push(plate, text);
  if (!plate && !text) main.push(el("p", { class: "nothing" }, isText(item.payload.path) ? fileName(item.payload.path) : "no text or file"));
  return el("article", { class: "card" },
    el(`h${level}`, { class: "hidden" }, `${item.modality}: ${nameOf(item)}`),
    ...main,
    el("div", { class: "rest" },
      score && scoreLine(score),
      el("p", { class: "tags" }, el("span", { class: "tag kind" }, item.modality), classes(item.payload)),
      el("div", { class: "foot" },
        el("button", { type: "button", class: "like", "aria-label": `More like this: ${nameOf(item)}`, on: { click: () => onLike(item) } }, "More like this"),
        details(item))));
}

function words(text, own) {
  return el("p", { class: own ? "words own" : "words", dir: "auto" }, short(text, LONGEST));
}

const paired = (plate) => el("div", { class: "paired" }, plate);
const fileName = (path) => path.split(/[\\/]/).pop();

function medium(item, kind, collection) {
  const frame = el("div", { class: `medium ${kind}` });
  whenNear(frame, async () => {
    try {
      const url = await mediaUrl(item, collection, kind === "image" ? { thumbnail: true, size: 320 } : {});
      if (frame.isConnected) fill(frame, MAKERS[kind](url, item, frame));
      else URL.revokeObjectURL(url);
    } catch {
      gone(frame, kind);
    }
  });
  return frame;
}

const gone = (frame, kind) => fill(frame, el("p", { class: "nothing" }, `This ${NAMES[kind]} cannot be shown.`));
const NAMES = { image: "picture", audio: "sound", video: "film" };
const failing = (frame, kind) => ({ error: () => gone(frame, kind) });
const MAKERS = {
  image: (src, item, frame) => el("img", { src, alt: altOf(item), on: { ...failing(frame, "image"), load: larger } }),
  audio: (src, item, frame) =>
    el("audio", { src, controls: true, preload: "none", "aria-label": `Sound ${nameOf(item)}`, on: failing(frame, "audio") }),
  video: (src, item, frame) =>
    el("video", { src, controls: true, preload: "metadata", "aria-label": `Film ${nameOf(item)}`, on: failing(frame, "video") }),
};

const TINY = 80; // pixels

// What would be a speck on the card is shown enlarged.
function larger({ target }) {
  target.classList.toggle("tiny", Math.max(target.naturalWidth, target.naturalHeight) < TINY);
}

// The picture of a card that says what it shows needs no second name.
const altOf = (item) => (isText(item.payload.text) ? "" : `Picture ${item.id}`);

function scoreLine({ text, share, title }) {
  const bar = el("span", { class: "bar-full", "aria-hidden": "true" }, el("span", { class: "bar-part" }));
  bar.firstChild.style.width = `${Math.round(100 * Math.min(1, Math.max(0, share)))}%`;
  return el("p", { class: "score", title }, el("span", {}, text), bar);
}

function classes(payload) {
  const listed = Array.isArray(payload.classes) ? payload.classes : [payload.classes];
  const names = listed.filter(isText);
  const shown = names.slice(0, 3).map((name) => el("span", { class: "tag" }, short(name, 40)));
  if (names.length > 3) shown.push(el("span", { class: "tag" }, `+${names.length - 3}`));
  return shown;
}

function details(item) {
  const rows = [["id", item.id]];
  for (const [name, value] of Object.entries(item.payload)) {
    if (name === "path") rows.push(["file", fileName(String(value))]);
    else if (!HIDDEN.has(name)) rows.push([name, plain(value)]);
  }
  return el("details", {},
    el("summary", { "aria-label": `Details of ${nameOf(item)}` }, "Details"),
    el("dl", {}, rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, short(value, 200))])));
}

function plain(value) {
  if (typeof value === "string") return value;
  if (typeof value === "number") return number(value, 4);
  return JSON.stringify(value);
}
