/** The tab that writes: a text in, the best answers out. */

import { answers } from "./answers.js";
import { ask } from "./api.js";
import { offer, runs } from "./form.js";

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
  say(answers(document.getElementById("written"), nbest, begun));
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
