// The HTTP API: one function, one kind of error.
import { learn } from "./clock.js";

const TIMEOUT = 15_000;

/** {code, message, retryable, details}, as the server says it; `network` and `unreadable` are ours. */
export class ApiError extends Error {
  constructor({ code, message = "", retryable = false, details = {} }, status = 0) {
    super(message);
    Object.assign(this, { code, retryable, details, status });
  }
}

export function createApi({ fetch = globalThis.fetch.bind(globalThis) } = {}) {
  let csrf = "";

  /** The parsed answer, null when it has no body. Raises ApiError. */
  async function request(method, path, body) {
    const headers = { Accept: "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (method !== "GET" && csrf) headers["X-CSRF-Token"] = csrf;
    const asked = Date.now();
    let answer, text;
    try {
      answer = await fetch(path, {
        method, headers, body: body === undefined ? undefined : JSON.stringify(body),
        credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(TIMEOUT),
      });
      learn(answer.headers.get("Date"), asked, Date.now());
      text = await answer.text();
    } catch {
      throw new ApiError({ code: "network", retryable: true });
    }
    const parsed = parse(text);
    if (answer.ok && parsed !== undefined) {
      if (parsed?.csrf) csrf = parsed.csrf;
      return parsed;
    }
    throw new ApiError(parsed?.error?.code ? parsed.error : { code: "unreadable", retryable: answer.status >= 500 }, answer.status);
  }

  return {
    get: (path) => request("GET", path),
    send: (method, path, body) => request(method, path, body),
  };
}

function parse(text) {
  if (text === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
