/** The tab that speaks: a text or a dialogue in, speech out that is heard while it is made. */

import { Problem, ask } from "./api.js";
import { offer, reveal, runs } from "./form.js";
import { Picture } from "./picture.js";
import { Player } from "./player.js";
import { wavFile } from "./wav.js";

const find = (id) => document.getElementById(id);
const form = find("speak").querySelector("form");
const audio = find("audio");
const usualRate = 24000;

const picture = new Picture(find("wave"), find("spectrogram"));

let models = [];
let voices = [];
let player = null;

form.elements.model.addEventListener("change", showVoices);
for (const choice of form.elements.form) choice.addEventListener("change", showForm);
find("speak-script").addEventListener("input", showCast);
find("picture").addEventListener("click", seek);
runs(form, speak);
followPlayback();

/** Offers the server's voices. */
export async function startSpeaking(given) {
  models = given;
  offer(form.elements.model, models.map((model) => model.id));
  await showVoices();
}

async function showVoices() {
  const { data } = await (await ask(`/v1/audio/voices?model=${encodeURIComponent(form.elements.model.value)}`)).json();
  voices = data.map((voice) => voice.id);
  offer(find("speak-voice"), voices);
  find("cast").querySelector("div").replaceChildren();
  showCast();
}

function isScript() {
  return form.elements.form.value === "script";
}

function showForm() {
  for (const part of form.querySelectorAll("[data-form]")) part.hidden = part.dataset.form !== form.elements.form.value;
}

/** A choice of voice for each name of the script, in the order of the script. */
function showCast() {
  const grid = find("cast").querySelector("div");
  const before = new Map([...grid.querySelectorAll("select")].map((select) => [select.name, select.value]));
  grid.replaceChildren(...namesOf(find("speak-script").value).map((name, index) => role(name, index, before.get(`cast.${name}`))));
  find("cast").hidden = !grid.children.length;
}

function role(name, index, chosen) {
  const whole = document.createElement("div");
  const label = document.createElement("label");
  const select = document.createElement("select");
  [select.id, select.name] = [`cast-${index}`, `cast.${name}`];
  [label.htmlFor, label.textContent] = [select.id, name];
  const same = voices.find((voice) => voice.toLowerCase() === name.toLowerCase());
  offer(select, voices, chosen ?? same ?? voices[index % voices.length]);
  whole.append(label, select);
  return whole;
}

/** The names that begin the lines of a script: "Anna: ...", "**Anna:** ...", "[Anna]: ...". */
function namesOf(script) {
  const label = /^[*_[("“]*([\p{L}\p{N}][^:：,;!?"“”[\](){}<>*|]{0,39}?)[*_\])"”]*\s*[:：](?![/\\])/gmu;
  const names = new Map();
  for (const [, name] of script.matchAll(label)) {
    const plain = name.trim().replace(/\s+/g, " ");
    if (!names.has(plain.toLowerCase())) names.set(plain.toLowerCase(), plain);
  }
  return [...names.values()];
}

async function speak(signal, say) {
  player?.close();
  player = null;
  const model = models.find((one) => one.id === form.elements.model.value);
  const speech = new Speech(new Player(audio, model.sample_rate ?? usualRate), say);
  try {
    say("Waiting for the server …");
    const response = await ask(isScript() ? "/v1/audio/script" : "/v1/audio/speech", request(), signal);
    speech.begin(response.headers);
    await speech.read(response.body.getReader());
  } catch (error) {
    speech.end();
    audio.pause();
    if (error.name === "AbortError" || error instanceof Problem) throw error;
    throw new Problem("The speech broke off: the connection to the server was lost.");
  }
  speech.end();
  say(`Done: ${speech.seconds.toFixed(1)} s of speech.`);
}

function request() {
  const body = { model: form.elements.model.value, response_format: "pcm" };
  const numbers = [...form.elements].filter((field) => field.type === "number" && field.value !== "" && !field.closest("[hidden]"));
  for (const { name, value } of numbers) body[name] = Number(value);
  if (!isScript()) return { ...body, input: find("speak-text").value, voice: find("speak-voice").value };
  const roles = [...find("cast").querySelectorAll("select")].map((select) => [select.name.slice("cast.".length), select.value]);
  return { ...body, input: find("speak-script").value, cast: Object.fromEntries(roles) };
}

/** Speech that is arriving: it goes to the player, to the picture and, whole, into a file. */
class Speech {
  constructor(given, say) {
    [player, this.say, this.parts, this.samples, this.odd] = [given, say, [], 0, new Uint8Array()];
  }

  get seconds() {
    return this.samples / this.rate;
  }

  begin(headers) {
    this.rate = Number(headers.get("unilatent-sample-rate")) || usualRate;
    this.provenance = decoded(headers.get("unilatent-provenance"));
    if (this.rate !== player.rate) {
      player.close();
      player = new Player(audio, this.rate);
    }
    picture.clear(this.rate);
    const [guessed, respelled, leftOut] = ["guessed", "respelled", "left-out"].map((name) => list(headers.get(`unilatent-${name}`)));
    showOrigin(this.provenance, guessed, respelled, leftOut);
    URL.revokeObjectURL(find("download").href);
    find("download").removeAttribute("href");
    find("download").hidden = true;
    reveal(find("spoken"));
  }

  async read(reader) {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      if (!this.samples) this.say("Speaking …");
      this.take(next.value);
      find("made").textContent = `${this.seconds.toFixed(1)} s made`;
    }
  }

  /** Bytes of 16-bit samples; a chunk may end in the middle of one. */
  take(bytes) {
    const all = new Uint8Array(this.odd.length + bytes.length);
    all.set(this.odd);
    all.set(bytes, this.odd.length);
    const whole = all.length - (all.length % 2);
    this.odd = all.slice(whole);
    const samples = new Int16Array(all.buffer, 0, whole / 2);
    this.parts.push(samples);
    this.samples += samples.length;
    player.add(samples);
    picture.add(samples);
  }

  /** The last sample has come, or no more will. */
  end() {
    const download = find("download");
    if (!this.samples) return player.finish(download.href); // what was spoken before, if anything
    download.href = URL.createObjectURL(wavFile(this.parts, this.rate, this.provenance));
    download.hidden = false;
    picture.finish();
    player.finish(download.href);
    const length = `${this.seconds.toFixed(1)} s of speech`;
    find("made").textContent = length;
    for (const [id, what] of [["wave", "Waveform"], ["spectrogram", "Spectrogram"]]) find(id).setAttribute("aria-label", `${what} of ${length}`);
  }
}

function showOrigin(provenance, guessed, respelled, leftOut) {
  find("provenance").textContent = provenance;
  const notes = [];
  if (guessed.length) notes.push(`The voice guessed how to say ${guessed.map((guess) => guess.replace(/=(.*)/, " [[$1]]")).join(", ")}. To say it otherwise, write [[phonemes]] instead of the word.`);
  if (respelled.length) notes.push(`The voice did not know ${respelled.join(", ")}, and spelled it by letters. Write it as it sounds.`);
  if (leftOut.length) notes.push(`The voice cannot say ${leftOut.join(" ")}, and left it out.`);
  find("respelled").hidden = !notes.length;
  find("respelled").textContent = notes.join(" ");
}

/** A header's text, which is percent-encoded. */
const decoded = (value) => decodeURIComponent(value ?? "");

/** A header that lists words. */
const list = (value) => (value ?? "").split(",").filter(Boolean).map(decoded);

function seek(event) {
  player?.seek((event.offsetX / find("picture").clientWidth) * picture.width);
}

/** The line in the picture that shows what is heard. */
function followPlayback() {
  const playhead = find("playhead");
  const move = () => {
    playhead.hidden = !player;
    if (player) playhead.style.left = `${Math.min(100, (100 * player.position) / picture.width)}%`;
    requestAnimationFrame(move);
  };
  move();
}
