/** A form that starts one piece of work at a time: it shows progress, stops on request, and puts errors beside their fields. */

import { Problem } from "./api.js";

/** Runs `work(signal, say)` when the form is sent. `say` announces progress, also to screen readers. */
export function runs(form, work) {
  const [send, stop] = [form.querySelector("[type=submit]"), form.querySelector(".stop")];
  const [status, general] = [form.querySelector(".status"), form.querySelector(":scope > .error")];
  let control = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (control) return;
    control = new AbortController();
    begin();
    try {
      await work(control.signal, (text) => (status.textContent = text));
    } catch (error) {
      status.textContent = error.name === "AbortError" ? "Stopped." : "";
      if (error.name !== "AbortError") show(error);
    } finally {
      control = null;
      end();
    }
  });
  stop.addEventListener("click", () => control?.abort());
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  function begin() {
    general.textContent = "";
    for (const field of form.querySelectorAll("[aria-invalid]")) clear(field);
    form.setAttribute("aria-busy", "true");
    send.setAttribute("aria-disabled", "true");
    stop.hidden = false;
  }

  function end() {
    form.setAttribute("aria-busy", "false");
    send.removeAttribute("aria-disabled");
    if (document.activeElement === stop) send.focus();
    stop.hidden = true;
  }

  function show(error) {
    if (!(error instanceof Problem)) console.error(error);
    const field = fieldOf(form, error.param);
    if (field) mark(field, error.message);
    else general.textContent = error.message;
  }
}

/** The visible field of a parameter of the request: of "decoder.beam_size" itself, of "decoder" the first of its fields. */
function fieldOf(form, param) {
  const shown = [...form.elements].filter((field) => field.name && !field.closest("[hidden]"));
  const named = (name) => shown.find((field) => field.name === name);
  return param && (named(param) ?? named(param.replace("decoder.", "")) ?? shown.find((field) => field.name.startsWith(`${param}.`)));
}

function mark(field, message) {
  const text = document.createElement("p");
  text.className = "error";
  text.id = `${field.id}-error`;
  text.textContent = message;
  field.after(text);
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", [text.id, field.getAttribute("aria-describedby")].filter(Boolean).join(" "));
  for (let above = field.closest("details"); above; above = above.parentElement.closest("details")) above.open = true;
  field.focus();
}

function clear(field) {
  const id = `${field.id}-error`;
  document.getElementById(id)?.remove();
  field.removeAttribute("aria-invalid");
  const rest = field.getAttribute("aria-describedby").split(" ").filter((other) => other !== id);
  if (rest.length) field.setAttribute("aria-describedby", rest.join(" "));
  else field.removeAttribute("aria-describedby");
}

/** Fills a list of choices, keeping what was chosen if it is still there. */
export function offer(select, names, chosen = select.value) {
  select.replaceChildren(...names.map((name) => new Option(name, name, false, name === chosen)));
}

/** Unhides a result and scrolls to it if it is out of sight. */
export function reveal(element) {
  element.hidden = false;
  element.scrollIntoView({ block: "nearest" });
}
