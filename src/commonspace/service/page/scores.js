// From a similarity to words: a probability where one was measured, else the number itself.

import { number } from "./dom.js";

// Linear between the points of a curve, flat beyond its ends.
export function probability(curve, cosine) {
  const { cosine: x, probability: y } = curve;
  if (cosine <= x[0]) return y[0];
  for (let at = 1; at < x.length; at += 1) {
    if (cosine <= x[at]) {
      const width = x[at] - x[at - 1];
      return width > 0 ? y[at - 1] + ((y[at] - y[at - 1]) * (cosine - x[at - 1])) / width : y[at];
    }
  }
  return y[y.length - 1];
}

export const curveOf = (curves, query, item) => curves.find((curve) => curve.query === query && curve.item === item) ?? null;

export function describe(hit, { how, asked, curves, best }) {
  if (how === "words") {
    return { text: `word score ${number(hit.score)}`, share: best > 0 ? hit.score / best : 0, title: "BM25: more and rarer words score higher" };
  }
  const curve = asked === null ? null : curveOf(curves, asked, hit.modality);
  if (!curve) return { text: `similarity ${hit.score.toFixed(2)}`, share: (hit.score + 1) / 2, title: "Cosine, from -1 to 1" };
  const share = probability(curve, hit.score);
  return {
    text: `${percent(share)} match`,
    aside: hit.score.toFixed(2),
    share,
    title: `Share of validation pairs at this similarity (${hit.score.toFixed(3)}) that have a class in common`,
  };
}

function percent(share) {
  if (share > 0.99) return "> 99 %";
  if (share < 0.01) return "< 1 %";
  return `${Math.round(100 * share)} %`;
}
