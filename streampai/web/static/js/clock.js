// Server time in the browser: the browser's own clock may be wrong by hours.
//
// Each answer's Date header bounds the difference between both clocks (its
// second began before the answer came and ends after the question went); the
// bounds of several answers are intersected, so the estimate gets sharper.
import { useEffect, useState } from "./html.js";

let low = -Infinity;
let high = Infinity;

/** Learn from one answer: its Date header, and when it was asked and received (ms, browser). */
export function learn(dateHeader, asked, received) {
  const begun = Date.parse(dateHeader ?? "");
  if (Number.isNaN(begun)) return;
  const [from, to] = [begun - received, begun + 1000 - asked];
  // Bounds that exclude what was known mean that one of the clocks was set: begin anew.
  const disjoint = from > high || to < low;
  low = disjoint ? from : Math.max(low, from);
  high = disjoint ? to : Math.min(high, to);
}

/** Milliseconds since the epoch, by the server's clock as far as it is known. */
export function serverNow() {
  const middle = (low + high) / 2;
  const offset = Number.isFinite(middle) && !(low <= 0 && 0 <= high) ? middle : 0;
  return Date.now() + offset;
}

/** Seconds from an ISO time until now (negative when it lies ahead). */
export const secondsSince = (iso, now = serverNow()) => (now - Date.parse(iso)) / 1000;

const listeners = new Set();
let timer = 0;

function tick() {
  for (const listener of listeners) listener(serverNow());
}

/** The server's time, renewed each second in all components at once. */
export function useNow() {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    listeners.add(setNow);
    if (listeners.size === 1) timer = setInterval(tick, 1000);
    return () => {
      listeners.delete(setNow);
      if (listeners.size === 0) clearInterval(timer);
    };
  }, []);
  return now;
}
