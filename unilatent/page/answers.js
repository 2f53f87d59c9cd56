/** The best answers of a search, with their scores. */

import { reveal } from "./form.js";

/** Shows answers in a panel with a list; returns a line that says how many there are, and after how long. */
export function answers(panel, nbest, begun) {
  panel.querySelector("ol").replaceChildren(...nbest.map(answer));
  reveal(panel);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  return `${nbest.length} ${nbest.length === 1 ? "answer" : "answers"} after ${seconds} s.`;
}

function answer({ text, score }) {
  const item = document.createElement("li");
  const words = document.createElement("p");
  words.textContent = text || "(nothing)";
  const below = document.createElement("div");
  const copy = document.createElement("button");
  copy.type = "button";
  copy.className = "copy";
  copy.textContent = "Copy";
  copy.setAttribute("aria-label", `Copy: ${text}`);
  copy.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(text);
    copy.textContent = navigator.clipboard ? "Copied" : "Select and copy";
  });
  below.append(`score ${score.toFixed(3)}`, copy);
  item.append(words, below);
  return item;
}
