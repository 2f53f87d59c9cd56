/** Starts the page: asks for the models, for a key if the server wants one, and shows a tab for each kind of model. */

import { ask, useKey } from "./api.js";
import { startListening } from "./listen.js";
import { startLooking } from "./look.js";
import { startSpeaking } from "./speak.js";
import { startWriting } from "./write.js";

const status = document.getElementById("start-status");
const error = document.getElementById("start-error");
const keyForm = document.getElementById("key-form");
const tabs = [...document.querySelectorAll("[role=tab]")];

keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(keyForm.elements.key.value);
  start();
});
start();

async function start() {
  error.textContent = "";
  try {
    const { data } = await (await ask("/v1/models")).json();
    await show(data);
    keyForm.hidden = true;
  } catch (problem) {
    const wantsKey = problem.status === 401;
    if (!wantsKey || !keyForm.hidden) error.textContent = problem.message;
    if (wantsKey) {
      keyForm.hidden = false;
      keyForm.elements.key.focus();
    }
  }
  status.textContent = "";
}

async function show(models) {
  const of = (kind) => models.filter((model) => model.kind === kind);
  const [texts, writers, voices, listeners] = ["text", "captions", "speech", "recognition"].map(of);
  if (texts.length) startWriting(texts);
  if (writers.length) startLooking(writers);
  if (voices.length) await startSpeaking(voices);
  if (listeners.length) startListening(listeners);
  const kinds = { write: texts, look: writers, speak: voices, listen: listeners };
  const there = Object.keys(kinds).filter((tab) => kinds[tab].length);
  if (!there.length) throw new Error("This server holds no model that writes, looks, speaks or listens.");
  for (const tab of tabs) tab.hidden = !there.includes(tab.getAttribute("aria-controls"));
  const does = new Intl.ListFormat("en").format(there);
  document.getElementById("about").textContent = `Models that ${does}, on this server.`;
  document.getElementById("tabs").hidden = there.length < 2;
  select(there.includes(location.hash.slice(1)) ? location.hash.slice(1) : there[0]);
}

function select(name) {
  for (const tab of tabs) {
    const chosen = tab.id === `${name}-tab`;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).hidden = !chosen;
  }
}

for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const shown = tabs.filter((one) => !one.hidden);
    const index = shown.indexOf(tab);
    const to = { ArrowRight: index + 1, ArrowLeft: index - 1 + shown.length, Home: 0, End: shown.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(shown[to % shown.length]);
  });
}

function choose(tab) {
  const name = tab.getAttribute("aria-controls");
  select(name);
  history.replaceState(null, "", `#${name}`);
  tab.focus();
}
