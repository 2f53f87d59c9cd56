/** The tab that listens: a recording or the microphone in, text with speakers and times out, live where the model can. */

import { Problem, ask, openSocket } from "./api.js";
import { offer, reveal, runs } from "./form.js";
import { Microphone, missing } from "./microphone.js";
import { FORMATS, clock, label } from "./transcript.js";

const find = (id) => document.getElementById(id);
const form = find("listen").querySelector("form");
const audio = find("heard-audio");
const finish = find("finish");

let models = [];
let urls = [];

for (const choice of form.elements.source) choice.addEventListener("change", showSource);
form.elements.model.addEventListener("change", showSource);
runs(form, (signal, say) => (usesMicrophone() ? record(signal, say) : hear(form.elements.file.files[0], signal, say)));

/** Offers the server's recognizers. */
export function startListening(given) {
  models = given;
  offer(form.elements.model, models.map((model) => model.id));
  showSource();
}

function model() {
  return models.find((one) => one.id === form.elements.model.value);
}

function usesMicrophone() {
  return form.elements.source.value === "microphone";
}

function showSource() {
  for (const part of form.querySelectorAll("[data-form]")) part.hidden = part.dataset.form !== form.elements.source.value;
  form.querySelector("[type=submit]").textContent = usesMicrophone() ? "Record" : "Listen";
  const live = "Text appears while you speak.";
  const most = model().max_seconds;
  const length = most < 120 ? `${Math.floor(most)} seconds` : `${Math.floor(most / 60)} minutes`;
  const whole = `This model hears whole recordings: text appears after you finish. About ${length} at most.`;
  find("microphone-hint").textContent = missing() ?? (model().live ? live : whole);
}

/** A recording as a whole, of any format that the server reads. */
async function hear(file, signal, say) {
  if (!file) throw new Problem("Choose a recording first.", "file");
  play(file);
  say("Listening …");
  const body = new FormData();
  const fields = { model: model().id, response_format: "diarized_json", prompt: form.elements.prompt.value };
  for (const [name, value] of Object.entries(fields)) body.set(name, value);
  body.set("file", file, file.name ?? "recording.wav");
  const begun = performance.now();
  const answer = await (await ask("/v1/audio/transcriptions", body, signal)).json();
  show(answer.duration, answer.segments, answer.warnings ?? []);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  say(`Done: ${answer.duration.toFixed(1)} s of audio after ${seconds} s.`);
}

/** The microphone, until "Finish": heard while it records, or as a file. "Stop" keeps what there is. */
async function record(signal, say) {
  audio.hidden = find("keep-audio").hidden = true;
  const microphone = await Microphone.open();
  const finished = new Promise((resolve) => finish.addEventListener("click", resolve, { once: true, signal }));
  finish.hidden = false;
  finish.focus();
  try {
    signal.throwIfAborted();
    if (model().live) await follow(microphone, finished, signal, say);
    else {
      microphone.onsamples = () => say(`Recording … ${clock(microphone.seconds)}`);
      await orAborted(finished, signal);
      finish.hidden = true;
      await microphone.finish();
      await hear(microphone.file(), signal, say);
    }
  } finally {
    finish.hidden = true;
    microphone.close();
    if (microphone.samples) play(microphone.file());
  }
}

/** Sends what is recorded, and shows what comes back. */
async function follow(microphone, finished, signal, say) {
  const socket = openSocket("/v1/stream");
  signal.addEventListener("abort", () => socket.close());
  let heard = 0;
  let warnings = [];
  const progress = (doing) => {
    const behind = microphone.seconds - heard;
    say(`${doing} … ${clock(microphone.seconds)}${behind > 10 ? `, the text is ${Math.round(behind)} s behind` : ""}`);
  };
  const done = new Promise((resolve, reject) => {
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.error) return reject(problemOf(message.error));
      heard = message.audio_duration ?? message.end;
      warnings = message.done ? message.warnings : [...warnings, ...message.warnings.map((one) => `${clock(message.start)}: ${one}`)];
      show(heard, message.segments.map(segmentOf), warnings);
      if (message.done) resolve();
    };
    socket.onclose = () => reject(new Problem("The connection to the server was lost. The text so far is kept."));
  });
  done.catch(() => {}); // it is awaited below
  try {
    await orAborted(Promise.race([new Promise((resolve) => (socket.onopen = resolve)), done]), signal);
    const context_info = form.elements.prompt.value.split("\n").filter((word) => word.trim()).join(", ");
    socket.send(JSON.stringify({ model: model().id, encoding: "pcm16", sample_rate: microphone.rate, context_info }));
    for (const samples of microphone.parts) socket.send(samples);
    microphone.onsamples = (samples) => {
      socket.send(samples);
      progress("Listening");
    };
    await orAborted(Promise.race([finished, done]), signal);
    finish.hidden = true;
    await microphone.finish();
    progress("Finishing");
    socket.send("end");
    await orAborted(done, signal);
    say(`Done: ${microphone.seconds.toFixed(1)} s of audio.`);
  } finally {
    microphone.onsamples = () => {};
    socket.close();
  }
}

function problemOf(message) {
  return new Problem(message.replace(/^context_info: /, "hot words: "), message.startsWith("context_info") ? "prompt" : null);
}

function segmentOf({ Start, End, Speaker, Content }) {
  return { start: Start, end: End, speaker: Speaker, text: Content };
}

/** The value of a promise, or AbortError as soon as the signal says so. */
function orAborted(promise, signal) {
  const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  return Promise.race([promise, aborted]);
}

/** Offers what was heard to be played and kept. */
function play(file) {
  URL.revokeObjectURL(audio.src);
  audio.src = URL.createObjectURL(file);
  audio.hidden = find("keep-audio").hidden = false;
  find("keep-audio").href = audio.src;
  find("keep-audio").download = file.name ?? "recording.wav";
}

function show(seconds, given, warnings) {
  const atEnd = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 50;
  const segments = given.map(({ start, end, speaker, text }) => ({ start, end, speaker: speaker === "?" ? null : speaker, text }));
  const transcript = { seconds, text: segments.map((segment) => segment.text).join(" "), segments, warnings };
  showSegments(transcript);
  showWarnings(warnings);
  offerFiles(transcript);
  if (find("heard").hidden) reveal(find("heard"));
  else if (atEnd) window.scrollTo(0, document.documentElement.scrollHeight);
}

/** What has not changed stays as it is, so that a screen reader reads only what is new. */
function showSegments(transcript) {
  const list = find("segments");
  const { segments } = transcript;
  for (const [index, segment] of segments.entries()) {
    const [known, said] = [list.children[index], label(segment, transcript) + segment.text];
    if (known?.lastChild.textContent === said && known.start === segment.start) continue;
    if (known) known.replaceWith(entry(segment, transcript));
    else list.append(entry(segment, transcript));
  }
  while (list.children.length > segments.length) list.lastChild.remove();
  find("nothing").hidden = segments.length > 0;
}

function showWarnings(warnings) {
  const item = (text) => Object.assign(document.createElement("li"), { textContent: text });
  find("listen-warnings").hidden = !warnings.length;
  find("listen-warnings").querySelector("summary").textContent = warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`;
  find("listen-warnings").querySelector("ul").replaceChildren(...warnings.map(item));
}

function entry(segment, transcript) {
  const item = document.createElement("li");
  item.start = segment.start;
  const time = document.createElement("button");
  time.type = "button";
  time.className = "time";
  time.textContent = clock(segment.start);
  time.setAttribute("aria-label", `Play from ${clock(segment.start)}`);
  time.addEventListener("click", () => {
    audio.currentTime = segment.start;
    audio.play();
  });
  const text = document.createElement("p");
  const speaker = document.createElement("strong");
  speaker.textContent = label(segment, transcript);
  text.append(speaker, segment.text);
  item.append(time, text);
  return item;
}

function offerFiles(transcript) {
  for (const url of urls) URL.revokeObjectURL(url);
  urls = [];
  for (const [suffix, [type, write]] of Object.entries(FORMATS)) {
    const link = find(`as-${suffix}`);
    link.href = URL.createObjectURL(new Blob([write(transcript)], { type }));
    urls.push(link.href);
  }
}
