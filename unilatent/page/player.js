/** Plays samples while they arrive, and the finished file afterwards, all through one <audio> element. */

const FIRST_WAIT = 0.2; // seconds to have before playback begins; doubles whenever it runs dry
const LONGEST_WAIT = 8;

export class Player {
  /** Make one player for each piece of speech, in the handler of a click: browsers let only those start audio. */
  constructor(element, rate) {
    this.element = element;
    this.rate = rate;
    this.context = contextFor(rate);
    this.output = this.context.createMediaStreamDestination();
    this.held = []; // arrived, not yet scheduled
    this.until = 0; // time of the context up to which audio is scheduled
    this.scheduled = 0; // seconds of speech
    this.dry = true; // nothing to play: the context and the element stand still
    this.wait = FIRST_WAIT;
    this.url = null; // of the finished file
    this.listening = new AbortController();
    this.listen("pause", () => this.dry || (this.url ? this.useFile() : this.context.suspend()));
    this.listen("play", () => this.dry || this.context.resume());
    element.removeAttribute("src");
    element.srcObject = this.output.stream;
    this.start(); // now, because of the click
    this.stop();
  }

  start() {
    this.context.resume();
    this.element.play().catch(() => {}); // refused, or stopped at once: the listener can press play
  }

  stop() {
    this.context.suspend();
    this.element.pause();
  }

  listen(event, handler) {
    this.element.addEventListener(event, handler, { signal: this.listening.signal });
  }

  /** Takes the next samples, an Int16Array. */
  add(samples) {
    this.held.push(samples);
    if (!this.dry || this.heldSamples >= this.wait * this.rate) this.schedule();
  }

  get heldSamples() {
    return this.held.reduce((sum, part) => sum + part.length, 0);
  }

  schedule() {
    if (!this.heldSamples) return;
    const buffer = this.context.createBuffer(1, this.heldSamples, this.rate);
    const channel = buffer.getChannelData(0);
    let at = 0;
    for (const part of this.held) for (const sample of part) channel[at++] = sample / 32768;
    this.held = [];
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.output);
    source.addEventListener("ended", () => this.last === source && this.runDry());
    this.last = source;
    const start = Math.max(this.context.currentTime, this.until);
    source.start(start);
    this.until = start + buffer.duration;
    this.scheduled += buffer.duration;
    if (this.dry) this.start();
    this.dry = false;
  }

  /** What is scheduled has been heard. */
  runDry() {
    if (this.url) return this.useFile(true);
    this.dry = true;
    this.wait = Math.min(LONGEST_WAIT, 2 * this.wait);
    this.stop();
  }

  /** No more samples will arrive. The element changes to the file at `url` ("": none) when the last one has been heard. */
  finish(url) {
    this.schedule();
    this.url = url;
    if (this.dry || this.element.paused) this.useFile();
  }

  /** How many seconds of the speech have been heard. */
  get position() {
    if (!this.element.srcObject) return this.element.currentTime;
    return Math.max(0, this.scheduled - Math.max(0, this.until - this.context.currentTime));
  }

  /** Goes to a second, if the whole file is there. */
  seek(seconds) {
    if (!this.url) return;
    this.useFile();
    this.element.currentTime = seconds;
  }

  useFile(fromStart = false) {
    if (!this.element.srcObject) return;
    const [position, playing] = [this.position, !this.element.paused && !fromStart];
    this.close();
    if (!this.url) return;
    this.element.src = this.url;
    this.element.currentTime = fromStart ? 0 : position;
    if (playing) this.element.play().catch(() => {});
  }

  /** Silence; the element keeps the file, if there is one. */
  close() {
    this.listening.abort();
    this.element.srcObject = null;
    if (this.context.state !== "closed") this.context.close();
  }
}

/** At the speech's own rate, so that the browser resamples once and well; not every browser plays every rate. */
function contextFor(rate) {
  try {
    return new AudioContext({ sampleRate: rate });
  } catch {
    return new AudioContext();
  }
}
