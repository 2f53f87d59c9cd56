/** Waveform and spectrogram of speech, drawn while it is made. Memory does not grow with its length. */

const WINDOW = 512;
const HOP = 128;
const BANDS = 128; // of frequency, from 0 to half the rate
const MAX_COLUMNS = 2048;
const [QUIET, LOUD] = [-85, -15]; // in dB, from invisible to full color

const HANN = Float32Array.from({ length: WINDOW }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));

export class Picture {
  constructor(wave, spectrogram) {
    [this.wave, this.spectrogram] = [wave, spectrogram];
    this.clear(1);
    new ResizeObserver(() => this.draw()).observe(wave);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Begins a new picture. */
  clear(rate) {
    this.rate = rate;
    this.rest = new Float32Array();
    this.columns = []; // each: lowest and highest sample, BANDS levels from 0 to 255
    this.hops = 1; // in a column
    this.open = []; // hops of the column that is not complete
    this.complete = false;
  }

  /** Seconds that the picture is wide: room to grow while speech is made. */
  get width() {
    const seconds = ((this.columns.length * this.hops + this.open.length) * HOP) / this.rate;
    return this.complete ? seconds : Math.max(4, 2 ** Math.ceil(Math.log2(seconds || 1)));
  }

  /** Takes the next samples, an Int16Array. */
  add(samples) {
    const all = new Float32Array(this.rest.length + samples.length);
    all.set(this.rest);
    samples.forEach((sample, i) => (all[this.rest.length + i] = sample / 32768));
    let at = 0;
    for (; at + WINDOW <= all.length; at += HOP) this.addHop(all.subarray(at, at + WINDOW));
    this.rest = all.slice(at);
    this.draw();
  }

  /** All samples have arrived. */
  finish() {
    this.complete = true;
    this.draw();
  }

  addHop(samples) {
    const middle = samples.subarray((WINDOW - HOP) / 2, (WINDOW + HOP) / 2);
    this.open.push({ low: Math.min(...middle), high: Math.max(...middle), levels: levels(samples) });
    if (this.open.length < this.hops) return;
    this.columns.push(this.open.reduce(louder));
    this.open = [];
    if (this.columns.length < MAX_COLUMNS) return;
    this.columns = this.columns.flatMap((column, i) => (i % 2 ? [louder(this.columns[i - 1], column)] : []));
    this.hops *= 2;
  }

  draw() {
    const total = Math.max(1, (this.width * this.rate) / HOP / this.hops);
    drawWave(this.wave, this.columns, total);
    drawSpectrogram(this.spectrogram, this.columns, total);
  }
}

function louder(a, b) {
  const levels = a.levels.map((level, band) => Math.max(level, b.levels[band]));
  return { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high), levels };
}

/** A canvas as large as its pixels on the screen, cleared, with its text color. */
function prepared(canvas) {
  const scale = devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
  return [canvas.getContext("2d"), getComputedStyle(canvas).color];
}

function drawWave(canvas, columns, total) {
  const [context, color] = prepared(canvas);
  const { width, height } = canvas;
  context.fillStyle = color;
  columns.forEach(({ low, high }, i) => {
    const top = (0.5 - high / 2) * height;
    context.fillRect((i * width) / total, top, Math.max(1, width / total), Math.max(1, ((high - low) / 2) * height));
  });
}

function drawSpectrogram(canvas, columns, total) {
  const [context, color] = prepared(canvas);
  if (!columns.length) return;
  const image = new ImageData(columns.length, BANDS);
  const [red, green, blue] = color.match(/\d+/g).map(Number);
  columns.forEach((column, x) => {
    column.levels.forEach((level, band) => image.data.set([red, green, blue, level], 4 * ((BANDS - 1 - band) * columns.length + x)));
  });
  const small = document.createElement("canvas");
  [small.width, small.height] = [columns.length, BANDS];
  small.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(small, 0, 0, (columns.length * canvas.width) / total, canvas.height);
}

/** The levels of a window's frequency bands, 0 to 255. */
function levels(samples) {
  const real = samples.map((sample, i) => sample * HANN[i]);
  const imaginary = new Float32Array(WINDOW);
  transform(real, imaginary);
  const bins = WINDOW / 2 / BANDS;
  return Uint8Array.from({ length: BANDS }, (_, band) => {
    let power = 1e-12;
    for (let bin = band * bins; bin < (band + 1) * bins; bin++) power = Math.max(power, real[bin] ** 2 + imaginary[bin] ** 2);
    const decibels = 10 * Math.log10(power / (WINDOW / 4) ** 2); // 0: a sine of full amplitude
    return Math.max(0, Math.min(255, ((decibels - QUIET) / (LOUD - QUIET)) * 255));
  });
}

/** The fast Fourier transform of Cooley and Tukey, in place. */
function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let span = 2; span <= size; span *= 2) {
    for (let k = 0; k < span / 2; k++) {
      const angle = (-2 * Math.PI * k) / span;
      const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
      for (let even = k; even < size; even += span) {
        const odd = even + span / 2;
        const x = real[odd] * cosine - imaginary[odd] * sine;
        const y = real[odd] * sine + imaginary[odd] * cosine;
        [real[odd], imaginary[odd]] = [real[even] - x, imaginary[even] - y];
        [real[even], imaginary[even]] = [real[even] + x, imaginary[even] + y];
      }
    }
  }
}
