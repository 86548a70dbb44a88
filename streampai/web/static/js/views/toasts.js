// Short messages about what just happened; good news leaves by itself, bad news stays.
import { html, Icon, useEffect, useRef, useState } from "../html.js";
import { platformTitle, texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { sentence } from "./problem.js";

/** Ms; it waits while the pointer or the focus is on it. */
const STAY = 7000;
const t = texts.toasts;

/** The toast of a lifecycle event, or null when the page shows it well enough elsewhere. Pure. */
export function toastOf(event) {
  const names = (platforms) => (platforms ?? []).map(platformTitle);
  switch (event.type) {
    case "stream_started":
      return event.failed?.length ? { tone: "bad", text: t.startedFailed(names(event.failed)) }
        : { tone: "good", text: t.started(names(event.platforms)) };
    case "stream_ended": return { tone: "good", text: t.ended };
    case "disconnect_clock_stopped": return { tone: "good", text: t.clockStopped };
    default: return null;
  }
}

function Toast({ toast, onDismiss }) {
  const [paused, setPaused] = useState(false);
  useEffect(() => {
    if (paused || toast.tone === "bad") return undefined;
    const timer = setTimeout(onDismiss, STAY);
    return () => clearTimeout(timer);
  }, [paused]);
  return html`
    <li class=${`toast toast-${toast.tone}`} data-testid="toast" onPointerEnter=${() => setPaused(true)} onPointerLeave=${() => setPaused(false)}
      onFocusIn=${() => setPaused(true)} onFocusOut=${() => setPaused(false)}>
      <${Icon} name=${toast.tone === "bad" ? "alert" : "check"} /><span>${toast.text ?? sentence(toast.error)}${toast.text && toast.error && html` <span class="code">${toast.error.code}</span>`}</span>
      <button type="button" class="button button-plain button-small" aria-label=${t.dismiss} onClick=${onDismiss}><${Icon} name="cross" /></button>
    </li>`;
}

export function Toasts({ store }) {
  const toasts = useStore(store, (state) => state.toasts);
  return html`
    <section aria-label=${t.title}><ul class="toasts">${toasts.map((toast) => html`
      <${Toast} key=${toast.id} toast=${toast} onDismiss=${() => store.dispatch({ type: "dismiss", id: toast.id })} />`)}</ul></section>`;
}
