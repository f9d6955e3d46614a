// Requests to the service that sent this page, with the key of this tab if there is one.

const KEY = "commonspace-key";

export class ServiceError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;
export const setKey = (key) => sessionStorage.setItem(KEY, key);
export const dropKey = () => sessionStorage.removeItem(KEY);

async function send(path, options = {}) {
  const headers = { ...options.headers };
  if (hasKey()) headers.Authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError(0, "Unreachable", "The service does not answer. Is it still running?");
  }
  if (!answer.ok) throw await failure(answer);
  return answer;
}

async function failure(answer) {
  try {
    const { error } = await answer.json();
    return new ServiceError(answer.status, error.code, error.message);
  } catch {
    return new ServiceError(answer.status, "HTTPError", `The service answered ${answer.status}.`);
  }
}

const query = (values) =>
  new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== ""));

export const get = async (path, values = {}) => (await send(`${path}?${query(values)}`)).json();

export const post = async (path, content, signal) =>
  (await send(path, { method: "POST", body: JSON.stringify(content), signal, headers: { "Content-Type": "application/json" } })).json();

export async function postFiles(path, content, files, signal) {
  const form = new FormData();
  for (const file of files) form.append("file", file);
  form.append("request", JSON.stringify(content));
  return (await send(path, { method: "POST", body: form, signal })).json();
}

// Where an <img> or <audio> finds the file of an item: it cannot send a key, so a blob if there is one.
// The blob is given back with the element, see `fill`; who shows it nowhere has to give it back.
export async function mediaUrl(item, collection, { thumbnail = false, size } = {}) {
  const path = thumbnail ? "v1/items/thumbnail" : "v1/items/media";
  const url = `${path}?${query({ id: item.id, modality: item.modality, collection, size })}`;
  if (!hasKey()) return url;
  return URL.createObjectURL(await (await send(url)).blob());
}
