// What a screen reader is told without asking: changes of state and the clock's marks, nothing more.
import { secondsSince, useNow } from "../clock.js";
import { age } from "../format.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { phaseOf } from "../store.js";
import { texts } from "../texts.js";
import { useStore } from "../use_store.js";

/** Seconds left at which the disconnect clock speaks. */
const MARKS = [240, 180, 120, 60, 30, 10];

export function Announcer({ store }) {
  const phase = useStore(store, (state) => phaseOf(state.stream));
  const endsAt = useStore(store, (state) => state.stream.grace_ends_at);
  const away = useStore(store, (state) => state.link.status === "connecting" && state.link.since !== null);
  const [said, say] = useState("");
  const first = useRef(true);
  useEffect(() => {
    if (first.current) first.current = false;
    else say(texts.announceState[phase]);
  }, [phase]);
  useEffect(() => {
    if (away) say(texts.top.linkDown);
  }, [away]);
  return html`<div class="sr-only" role="status">${said}</div>${endsAt && html`<${ClockVoice} endsAt=${endsAt} />`}`;
}

function ClockVoice({ endsAt }) {
  const now = useNow();
  const left = -secondsSince(endsAt, now);
  const [mark, setMark] = useState(Math.ceil(left));
  const passed = MARKS.find((seconds) => left <= seconds && mark > seconds);
  useEffect(() => {
    if (passed !== undefined) setMark(MARKS.filter((seconds) => left <= seconds).at(-1));
  }, [passed]);
  return html`<div class="sr-only" role="alert">${texts.clock.announce(age(mark))}</div>`;
}
