/** Plays samples while they arrive, and the finished file afterwards, all through one <audio> element. */

const AHEAD = 0.05; // seconds between now and the first sample, so that it is not missed

export class Player {
  /** `element` is the <audio>. Make one player for each piece of speech, in the handler of a click: browsers ask for that. */
  constructor(element, rate) {
    this.element = element;
    this.rate = rate;
    this.context = new AudioContext({ sampleRate: rate });
    this.output = this.context.createMediaStreamDestination();
    this.until = 0; // time of the context up to which audio is scheduled
    this.held = []; // arrived, not yet scheduled
    this.wanted = 0.2; // seconds to hold before playback begins; doubles whenever it runs dry
    this.played = 0; // seconds of speech that are scheduled
    this.url = null; // the finished file
    this.ended = new AbortController();
    this.listen("pause", () => (this.url ? this.useFile() : this.context.suspend()));
    this.listen("play", () => this.context.resume());
    element.removeAttribute("src");
    element.srcObject = this.output.stream;
    this.context.resume();
    element.play().catch(() => {}); // refused: the listener presses play
  }

  listen(event, handler) {
    this.element.addEventListener(event, handler, { signal: this.ended.signal });
  }

  /** Takes the next samples, an Int16Array. */
  add(samples) {
    this.held.push(samples);
    const held = this.held.reduce((sum, part) => sum + part.length, 0) / this.rate;
    const dry = this.context.currentTime + AHEAD > this.until;
    if (dry && held < this.wanted) return;
    if (dry && this.until) this.wanted = Math.min(8, 2 * this.wanted);
    this.schedule();
  }

  schedule() {
    const length = this.held.reduce((sum, part) => sum + part.length, 0);
    if (!length) return;
    const buffer = this.context.createBuffer(1, length, this.rate);
    const channel = buffer.getChannelData(0);
    let at = 0;
    for (const part of this.held) for (const sample of part) channel[at++] = sample / 32768;
    this.held = [];
    this.last = new AudioBufferSourceNode(this.context, { buffer });
    this.last.connect(this.output);
    const start = Math.max(this.context.currentTime + AHEAD, this.until);
    this.last.start(start);
    this.until = start + buffer.duration;
    this.played += buffer.duration;
  }

  /** No more samples will arrive. The element changes to the file at `url` ("": none) when the last one has been heard. */
  finish(url) {
    this.schedule();
    this.url = url;
    if (!this.last || this.element.paused) this.useFile();
    else this.last.addEventListener("ended", () => this.useFile(true));
  }

  /** How many seconds of the speech have been heard. */
  get position() {
    if (!this.element.srcObject) return this.element.currentTime;
    return Math.max(0, this.played - Math.max(0, this.until - this.context.currentTime));
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
    this.ended.abort();
    this.element.srcObject = null;
    if (this.context.state !== "closed") this.context.close();
  }
}
