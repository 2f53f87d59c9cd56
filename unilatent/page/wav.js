/** WAV files of 16-bit mono samples that say where they come from. */

/** A file of the parts (Int16Array each), with `comment` as its metadata. */
export function wavFile(parts, rate, comment) {
  const text = chunk("ICMT", new TextEncoder().encode(comment + "\0"));
  const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
  const list = comment ? chunk("LIST", join([ascii("INFO"), text])) : new Uint8Array();
  const format = new DataView(new ArrayBuffer(16));
  format.setUint16(0, 1, true); // integers
  format.setUint16(2, 1, true); // one channel
  format.setUint32(4, rate, true);
  format.setUint32(8, rate * 2, true);
  format.setUint16(12, 2, true); // bytes a sample
  format.setUint16(14, 16, true); // bits a sample
  const before = join([ascii("WAVE"), chunk("fmt ", new Uint8Array(format.buffer)), list, ascii("data"), number(bytes)]);
  return new Blob([ascii("RIFF"), number(before.length + bytes), before, ...parts], { type: "audio/wav" });
}

/** A chunk of a RIFF file, filled up to an even length. */
function chunk(name, content) {
  return join([ascii(name), number(content.length), content, new Uint8Array(content.length % 2)]);
}

function join(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const ascii = (text) => new TextEncoder().encode(text);
const number = (value) => new Uint8Array(new Uint32Array([value]).buffer);
