/** The tab that writes: a text in, the best answers out. */

import { ask } from "./api.js";
import { offer, reveal, runs } from "./form.js";

const panel = document.getElementById("write");
const form = panel.querySelector("form");

runs(form, write);

/** Offers the server's text models. */
export function startWriting(models) {
  offer(form.elements.model, models.map((model) => model.id));
}

async function write(signal, say) {
  say("Writing …");
  const begun = performance.now();
  const response = await ask("/v1/generate", request(), signal);
  const { outputs: [{ nbest }] } = await response.json();
  document.getElementById("answers").replaceChildren(...nbest.map(answer));
  reveal(document.getElementById("written"));
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  say(`${nbest.length} ${nbest.length === 1 ? "answer" : "answers"} after ${seconds} s.`);
}

/** The fields of the form, without those that are empty. */
function request() {
  const body = { model: form.elements.model.value, input: form.elements.input.value, decoder: {} };
  if (form.elements.prefix.value) body.prefix = form.elements.prefix.value;
  for (const { name, value, type } of form.elements) {
    if (type !== "number" || value === "") continue;
    if (name.startsWith("decoder.")) body.decoder[name.slice("decoder.".length)] = Number(value);
    else body[name] = Number(value);
  }
  return body;
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
