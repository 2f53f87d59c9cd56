/** A transcript as files: text, SubRip, WebVTT and JSON. Segments have start, end (seconds), speaker (null: unknown) and text. */

/** The kinds of files: name, type, and how a transcript is written. */
export const FORMATS = {
  txt: ["text/plain", (transcript) => transcript.segments.map((segment) => `${label(segment, transcript)}${segment.text}\n`).join("")],
  srt: ["application/x-subrip", srt],
  vtt: ["text/vtt", vtt],
  json: ["application/json", (transcript) => `${JSON.stringify(transcript, null, 2)}\n`],
};

/** "Speaker 1: " where several speak. */
export function label({ speaker }, { segments }) {
  const known = new Set(segments.map((segment) => segment.speaker).filter((name) => name !== null));
  return known.size > 1 && speaker !== null ? `Speaker ${speaker}: ` : "";
}

/** 75.5 is "1:15". */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function srt(transcript) {
  const time = (seconds) => exact(seconds).replace(".", ",");
  const written = transcript.segments.map(
    (segment, index) => `${index + 1}\n${time(segment.start)} --> ${time(segment.end)}\n${label(segment, transcript)}${line(segment.text)}\n`,
  );
  return written.join("\n");
}

function vtt(transcript) {
  const written = transcript.segments.map((segment) => {
    const voice = label(segment, transcript) && `<v Speaker ${escaped(segment.speaker)}>`;
    return `\n${exact(segment.start)} --> ${exact(segment.end)}\n${voice}${escaped(line(segment.text))}\n`;
  });
  return `WEBVTT\n${written.join("")}`;
}

/** 75.5 is "00:01:15.500". */
function exact(seconds) {
  const milliseconds = Math.round(seconds * 1000);
  const parts = [milliseconds / 3600000, (milliseconds / 60000) % 60, (milliseconds / 1000) % 60].map((part) => String(Math.floor(part)).padStart(2, "0"));
  return `${parts.join(":")}.${String(milliseconds % 1000).padStart(3, "0")}`;
}

const line = (text) => text.replace(/\s+/g, " ").trim();
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
