/** Runs beside the sound card: collects samples of 16 bits and hands them on ten times a second, the rest when asked. */

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.begin();
    this.port.onmessage = () => this.finish();
  }

  begin() {
    [this.samples, this.count] = [new Int16Array(Math.round(sampleRate / 10)), 0];
  }

  process([[channel = []]]) {
    for (const value of channel) {
      this.samples[this.count++] = Math.max(-32768, Math.min(32767, Math.round(value * 32768)));
      if (this.count === this.samples.length) this.send();
    }
    return !this.over;
  }

  send() {
    const samples = this.samples.slice(0, this.count);
    this.port.postMessage(samples, [samples.buffer]);
    this.begin();
  }

  finish() {
    this.send();
    this.over = true;
    this.port.postMessage(null);
  }
}

registerProcessor("recorder", Recorder);
