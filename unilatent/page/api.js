/** Requests to the server. What goes wrong becomes a `Problem` with a line to read. */

const KEY = "unilatent-key";

/** One clear line, and which parameter it is about (null: the request as a whole). */
export class Problem extends Error {
  constructor(message, param = null, status = 0) {
    super(message);
    this.param = param;
    this.status = status;
  }
}

/** Keep the API key for this tab, until it is closed. */
export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** A WebSocket of the server. Scripts cannot give it headers, so the key goes among the protocols. */
export function openSocket(path) {
  const key = sessionStorage.getItem(KEY);
  const encoded = key && encodeURIComponent(key).replace(/[()]/g, (mark) => `%${mark.charCodeAt(0).toString(16)}`);
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return new WebSocket(url, key ? ["realtime", `openai-insecure-api-key.${encoded}`] : []);
}

/** The response to a request (a form, or JSON); raises Problem if the server refuses it or does not answer. */
export async function ask(path, body = undefined, signal = undefined) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  const isForm = body instanceof FormData;
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  const request = { method: body === undefined ? "GET" : "POST", headers, signal, body: isForm ? body : JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. Is it still running?");
  }
  if (response.ok) return response;
  throw await refusal(response);
}

async function refusal(response) {
  const { error } = await response.json().catch(() => ({}));
  let message = error?.message ?? `The server answered with status ${response.status}.`;
  const seconds = response.headers.get("Retry-After");
  if (response.status === 429 && seconds) message += ` Try again in ${seconds} s.`;
  return new Problem(message, error?.param ?? null, response.status);
}
