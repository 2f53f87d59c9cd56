/** The microphone, where the browser gives it: samples while they are recorded, and all of them as a file. */

import { Problem } from "./api.js";
import { wavFile } from "./wav.js";

const usualRate = 24000; // what recognizers hear

/** Why the browser cannot give a microphone, or null if it can. */
export function missing() {
  if (navigator.mediaDevices?.getUserMedia && window.AudioWorkletNode) return null;
  if (window.isSecureContext) return "This browser gives pages no microphone.";
  return "Browsers give a microphone only to pages of the same machine (http://localhost) or over HTTPS, and this is neither. Upload a recording instead.";
}

export class Microphone {
  /** Asks for the microphone; raises Problem if there is none. `close` must be called. */
  static async open() {
    if (missing()) throw new Problem(missing());
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      throw new Problem(refusal(error));
    }
    const microphone = new Microphone(stream);
    try {
      await microphone.start();
    } catch (error) {
      microphone.close();
      throw new Problem(`The microphone cannot be read: ${error.message}`);
    }
    return microphone;
  }

  constructor(stream) {
    this.stream = stream;
    this.parts = [];
    this.samples = 0;
    this.onsamples = () => {}; // called with each Int16Array
    this.finished = new Promise((resolve) => (this.whenFinished = resolve));
  }

  async start() {
    [this.context, this.source] = this.listenAt(usualRate) ?? this.listenAt();
    await this.context.audioWorklet.addModule("recorder.js");
    this.node = new AudioWorkletNode(this.context, "recorder", { channelCount: 1, channelCountMode: "explicit" });
    this.node.port.onmessage = ({ data }) => (data ? this.take(data) : this.whenFinished());
    this.source.connect(this.node).connect(this.context.destination); // silent, but only what is heard is computed
    await this.context.resume();
  }

  /** A context with the microphone as its source; null if this browser does not convert rates (Firefox). */
  listenAt(sampleRate = undefined) {
    const context = new AudioContext({ sampleRate });
    try {
      return [context, context.createMediaStreamSource(this.stream)];
    } catch (error) {
      context.close();
      if (sampleRate) return null;
      throw error;
    }
  }

  get rate() {
    return this.context.sampleRate;
  }

  get seconds() {
    return this.samples / this.rate;
  }

  take(samples) {
    this.parts.push(samples);
    this.samples += samples.length;
    this.onsamples(samples);
  }

  /** Waits for the last samples. */
  async finish() {
    this.node.port.postMessage("finish");
    await this.finished;
    this.close();
  }

  close() {
    for (const track of this.stream.getTracks()) track.stop();
    if (this.context && this.context.state !== "closed") this.context.close();
  }

  /** All that was recorded, as a WAV file. */
  file() {
    return wavFile(this.parts, this.rate, "");
  }
}

function refusal(error) {
  if (error.name === "NotAllowedError") return "The microphone was not allowed. The settings of this page in the browser can allow it.";
  if (error.name === "NotFoundError") return "No microphone was found.";
  return `The microphone cannot be used: ${error.message}`;
}
