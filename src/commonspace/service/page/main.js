// The page of a commonspace service: what is asked stands in the address, what is answered below it.

import { dropKey, get, hasKey, setKey } from "./api.js";
import { $, el, fill } from "./dom.js";
import * as filters from "./filters.js";
import * as health from "./health.js";
import * as map from "./map.js";
import * as search from "./search.js";
import * as address from "./state.js";

const LONGEST_TEXT = 10_000; // characters; it stands in the address
const now = { state: address.read(), files: [], fileReader: null, collections: [], about: null, maps: new Map() };

async function begin() {
  try {
    now.collections = (await get("v1/collections")).collections;
  } catch (error) {
    return refused(error);
  }
  $("key-form").hidden = true;
  $("app").hidden = false;
  const names = now.collections.map((found) => found.name);
  $("collection-box").hidden = names.length < 2;
  fill($("collection"), names.map((name) => el("option", { value: name }, name)));
  return follow();
}

function refused(error) {
  if (error.name === "AbortError") return;
  if (error.status !== 401) {
    $("app").hidden = false;
    $("error").textContent = now.files.length ? error.message.replaceAll("file 0", now.files[0].name) : error.message;
    $("status").textContent = "";
    return;
  }
  $("key-error").textContent = hasKey() ? "This key does not count." : "";
  dropKey();
  $("app").hidden = true;
  $("key-form").hidden = false;
  $("key").focus();
}

// Go where the address says.
async function follow() {
  const { state } = now;
  try {
    await enter(state.collection ?? now.collections[0]?.name);
    paint();
    await go();
  } catch (error) {
    refused(error);
  }
}

async function enter(name) {
  if (now.about?.name === name) return;
  const found = now.collections.find((collection) => collection.name === name);
  if (!found) throw new Error(name ? `There is no collection ${name} here.` : "There is no collection here.");
  const [{ modalities }, page] = await Promise.all([get("v1/modalities", { collection: name }), get("v1/page", { collection: name })]);
  const readers = {};
  for (const one of modalities) if (one.reads) (readers[one.reads] ??= []).push(one.name);
  const searched = modalities.filter((one) => one.items > 0).map((one) => one.name);
  now.about = { ...page, name, items: found.items, model: found.model, readers, modalities: searched };
  now.fileReader = null;
}

// Let the form say what the state is.
function paint() {
  const { state, about } = now;
  $("collection").value = about.name;
  $("text").value = state.text;
  for (const box of document.getElementsByName("how")) box.checked = box.value === state.how;
  pills();
  choose("reader", about.readers.text, state.reader, (name) => change({ reader: name }));
  filters.show(about.fields, state.where, (name, value) => {
    const where = { ...now.state.where };
    if (value === undefined) delete where[name];
    else where[name] = value;
    change({ where });
  });
  if (Object.keys(state.where).length) $("filters-box").open = true;
  parts();
  views();
}

function pills() {
  const { state, about } = now;
  $("targets-box").hidden = about.modalities.length < 2;
  const all = el("label", { class: "pill" }, el("input", { type: "checkbox", checked: !state.targets.length, on: { change: () => change({ targets: [] }) } }), " everything");
  const others = about.modalities.map((name) => el("label", { class: "pill" }, el("input", { type: "checkbox", value: name, checked: state.targets.includes(name), on: { change: toggled } }), ` ${name}`));
  fill($("targets"), all, others);
}

function toggled() {
  const chosen = [...$("targets").querySelectorAll("input[value]:checked")].map((box) => box.value).filter((name) => now.about.modalities.includes(name));
  change({ targets: chosen.length === now.about.modalities.length ? [] : chosen });
}

function choose(id, names = [], wanted, call) {
  $(`${id}-box`).hidden = names.length < 2;
  const first = names.includes(wanted) ? wanted : names[0];
  fill($(id), names.map((name) => el("option", { value: name, selected: name === first }, name)));
  $(id).onchange = () => call($(id).value);
}

// Where several modalities read texts, a query has to say which one it is of.
function queryNow() {
  const { state, about, files } = now;
  const several = (kind) => (about.readers[kind]?.length ?? 0) > 1;
  const kind = files.length ? search.fileKind(files[0]) : null;
  return {
    ...state,
    files,
    reader: several("text") ? (about.readers.text.includes(state.reader) ? state.reader : about.readers.text[0]) : null,
    fileReader: kind && several(kind) ? now.fileReader ?? about.readers[kind][0] : null,
  };
}

function parts() {
  const { state, files } = now;
  const chips = [
    ...state.items.map((item, at) => chip(`like ${item.id}`, item.modality, () => change({ items: state.items.filter((_, other) => other !== at) }), item)),
    ...files.map((file, at) => chip(file.name, search.fileKind(file), () => setFiles(files.filter((_, other) => other !== at)), null, file)),
  ];
  $("parts").hidden = !chips.length;
  fill($("parts"), chips);
  const kind = files.length ? search.fileKind(files[0]) : null;
  choose("file-reader", kind ? now.about.readers[kind] : [], now.fileReader, (name) => {
    now.fileReader = name;
    go();
  });
}

function chip(name, kind, remove, item, file) {
  const label = el("span", { class: "chip-name", dir: "auto" }, name);
  const made = el("li", { class: "chip" }, ...preview(file), label, el("span", { class: "soft" }, kind),
    el("button", { type: "button", "aria-label": `Remove ${name}`, on: { click: () => { remove(); $("text").focus(); } } }, "×"));
  if (item) search.itemOf(now.about, item.id, item.modality).then((found) => { label.textContent = `like “${search.nameOf(found)}”`; }).catch(() => {});
  return made;
}

function preview(file) {
  const kind = file && search.fileKind(file);
  if (kind === "image") {
    const src = URL.createObjectURL(file);
    const done = () => URL.revokeObjectURL(src);
    return [el("img", { src, alt: "", on: { load: done, error: ({ target }) => { done(); target.remove(); } } })];
  }
  if (kind !== "audio") return [];
  const sound = el("audio", { src: URL.createObjectURL(file) });
  const button = el("button", { type: "button", "aria-label": `Play ${file.name}`, on: { click: () => (sound.paused ? sound.play().catch(stop) : stop()) } }, "▶");
  function stop() { // what the browser cannot play stays a query all the same
    sound.pause();
    sound.currentTime = 0;
    button.textContent = "▶";
  }
  sound.addEventListener("playing", () => { button.textContent = "■"; });
  sound.addEventListener("ended", stop);
  return [button, sound];
}

// A file of text is read here, and searched by as if it had been typed.
async function take(file) {
  if (file.type !== "text/plain") return setFiles([file]);
  now.files = [];
  $("text").value = (await file.text()).trim().slice(0, LONGEST_TEXT);
  return change({ text: $("text").value, view: "search" });
}

function setFiles(files) {
  now.files = files;
  if (files.length && now.state.how === "words") now.state.how = "meaning";
  now.state.view = "search";
  address.write(now.state);
  if (!now.about) return; // asked before the page is ready: it follows the state when it is
  paint();
  go();
}

function views() {
  for (const name of ["search", "map", "health"]) $(`${name}-view`).hidden = now.state.view !== name;
  for (const button of document.querySelectorAll("[data-view]")) {
    if (button.dataset.view === now.state.view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  $("skip").hidden = now.state.view !== "search";
  document.title = `${{ search: now.state.text || "Search", map: "Map", health: "Health" }[now.state.view]} – commonspace`;
}

function change(fields, { replace = false } = {}) {
  Object.assign(now.state, fields);
  address.write(now.state, { replace });
  if (!now.about) return;
  pills();
  parts();
  views();
  filters.count(now.state.where);
  go();
}

async function go() {
  $("error").textContent = "";
  const { state, about } = now;
  const loadMap = () => {
    if (!now.maps.has(about.name)) now.maps.set(about.name, map.load(about.name));
    return now.maps.get(about.name);
  };
  try {
    if (state.view === "map") await map.show(about, loadMap, like);
    else if (state.view === "health") await health.show(about.name, about.health);
    else await answer(about, loadMap);
  } catch (error) {
    now.maps.delete(about.name);
    if (state.view === "search" && error.name !== "AbortError") search.clear(about);
    if (state.view === "search" || error.status === 401) refused(error);
    else fill($(state.view === "map" ? "map-about" : "health"), el("p", { class: "error", role: "alert" }, error.message));
  }
}

async function answer(about, loadMap) {
  const query = queryNow();
  $("share").hidden = search.isEmpty(query) || query.files.length > 0;
  if (!search.isEmpty(query)) return search.run(query, about, { onLike: like });
  search.clear(about);
  return about.map ? search.suggest(about, await loadMap(), { onLike: like }) : undefined;
}

// Search by an item instead of what was searched by.
function like(item) {
  now.files = [];
  $("text").value = "";
  window.scrollTo({ top: 0 });
  change({ text: "", how: "meaning", items: [{ id: item.id, modality: item.modality }], view: "search" });
  $("how-box").querySelector("input").checked = true;
  $("results-title").focus({ preventScroll: true });
}

function listen() {
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    setKey($("key").value.trim());
    $("key").value = "";
    begin();
  });
  $("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ text: $("text").value.trim() });
  });
  $("text").addEventListener("search", () => {
    if (!$("text").value && now.state.text) change({ text: "" });
  });
  for (const box of document.getElementsByName("how")) {
    box.addEventListener("change", () => {
      if (box.value === "words") now.files = [];
      change({ how: box.value, text: $("text").value.trim(), ...(box.value === "words" ? { items: [] } : {}) });
    });
  }
  $("filters-clear").addEventListener("click", () => {
    change({ where: {} });
    paint();
    $("filters-box").querySelector("summary").focus();
  });
  $("file").addEventListener("change", () => {
    if ($("file").files.length) take($("file").files[0]);
    $("file").value = "";
  });
  $("collection").addEventListener("change", () => {
    now.files = [];
    Object.assign(now.state, { collection: $("collection").value, items: [], targets: [], where: {}, reader: null });
    address.write(now.state);
    follow();
  });
  $("share").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      $("share").textContent = "Link copied";
    } catch {
      $("share").textContent = "Copy the address above";
    }
    setTimeout(() => { $("share").textContent = "Copy link"; }, 2500);
  });
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => change({ view: button.dataset.view }));
  window.addEventListener("popstate", () => {
    now.state = address.read();
    if (now.about) follow();
  });
  window.addEventListener("hashchange", () => {
    const state = address.read();
    if (JSON.stringify(state) === JSON.stringify(now.state)) return;
    now.state = state;
    if (now.about) follow();
  });
  drops();
}

function drops() {
  let depth = 0;
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files") && !$("app").hidden;
  window.addEventListener("dragenter", (event) => {
    if (!carries(event)) return;
    depth += 1;
    $("drop").hidden = false;
  });
  window.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (!depth) $("drop").hidden = true;
  });
  window.addEventListener("dragover", (event) => {
    if (carries(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    $("drop").hidden = true;
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  window.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file && !$("app").hidden) take(file);
  });
}

listen();
map.start();
begin();
