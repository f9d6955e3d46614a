// From a similarity to words: a probability where one was measured, else the number itself.

import { number } from "./dom.js";

const angle = (cosine) => -Math.acos(Math.min(1, Math.max(-1, cosine))); // rises with the cosine

// The log-odds of a match are straight over the angle between the points of a curve.
export function probability({ cosine: x, log_odds: y }, cosine) {
  const at = x.findIndex((end) => cosine <= end);
  if (at <= 0) return share(at ? y.at(-1) : y[0]);
  const [low, high] = [angle(x[at - 1]), angle(x[at])];
  return share(y[at - 1] + ((y[at] - y[at - 1]) * (angle(cosine) - low)) / (high - low));
}

const share = (logOdds) => 1 / (1 + Math.exp(-logOdds));

export const curveOf = (curves, query, item) => curves.find((curve) => curve.query === query && curve.item === item) ?? null;

export function describe(hit, { how, asked, curves, best }) {
  if (how === "words") {
    return { text: `word score ${number(hit.score)}`, share: best > 0 ? hit.score / best : 0, title: "BM25: more and rarer words score higher" };
  }
  const curve = asked === null ? null : curveOf(curves, asked, hit.modality);
  if (!curve) return { text: `similarity ${hit.score.toFixed(2)}`, share: (hit.score + 1) / 2, title: "Cosine, from -1 to 1" };
  const p = probability(curve, hit.score);
  return {
    text: `${percent(p)} match`,
    aside: hit.score.toFixed(2),
    share: p,
    title: `Share of validation pairs at this similarity (${hit.score.toFixed(3)}) that have a class in common`,
  };
}

// A decimal where whole numbers would make all the same.
function percent(p) {
  if (p > 0.999) return "> 99.9 %";
  if (p < 0.001) return "< 0.1 %";
  return `${(100 * p).toFixed(p > 0.95 || p < 0.05 ? 1 : 0)} %`;
}
