/** The tab that looks at pictures: a picture in, the best captions out. */

import { answers } from "./answers.js";
import { Problem, ask } from "./api.js";
import { offer, runs } from "./form.js";

const panel = document.getElementById("look");
const form = panel.querySelector("form");
const shown = document.getElementById("looked-at");

runs(form, look);

/** Offers the server's models that write captions. */
export function startLooking(models) {
  offer(form.elements.model, models.map((model) => model.id));
}

async function look(signal, say) {
  const picture = form.elements.file.files[0];
  if (!picture) throw new Problem("Choose a picture first.", "file");
  show(picture);
  say("Looking …");
  const begun = performance.now();
  const response = await ask("/v1/images/captions", request(picture), signal);
  const { outputs: [{ nbest }] } = await response.json();
  say(answers(document.getElementById("seen"), nbest, begun));
}

/** The fields of the form, without those that are empty. */
function request(picture) {
  const body = new FormData();
  for (const name of ["model", "input", "language", "prefix", "num_hypotheses"]) {
    const { value } = form.elements[name];
    if (value) body.set(name, value);
  }
  body.set("file", picture, picture.name);
  return body;
}

function show(picture) {
  URL.revokeObjectURL(shown.src);
  shown.src = URL.createObjectURL(picture);
  shown.hidden = false;
}
