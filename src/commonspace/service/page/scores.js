// From a score to words: what it is, the service says.

import { number } from "./dom.js";

export function describe(hit, { measure, best }) {
  if (measure === "bm25") {
    return { text: `word score ${number(hit.score)}`, share: best > 0 ? hit.score / best : 0, title: "BM25: more and rarer words score higher" };
  }
  if (measure === "match") {
    return { text: `${percent(hit.score)} match`, share: hit.score, title: "Share of validation pairs of this similarity that have a class in common" };
  }
  return { text: `similarity ${hit.score.toFixed(2)}`, share: (hit.score + 1) / 2, title: "Cosine, from -1 to 1" };
}

// A decimal where whole numbers would make all the same.
function percent(p) {
  if (p > 0.999) return "> 99.9 %";
  if (p < 0.001) return "< 0.1 %";
  return `${(100 * p).toFixed(p > 0.95 || p < 0.05 ? 1 : 0)} %`;
}
