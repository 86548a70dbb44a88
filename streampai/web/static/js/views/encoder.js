// The encoder: is it in, how old is that knowledge, and what to type into it.
import { secondsSince, useNow } from "../clock.js";
import { age, atTime } from "../format.js";
import { html, Icon, useEffect, useState } from "../html.js";
import { commandOf, isPending } from "../store.js";
import { texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { CopyButton } from "./copy_button.js";
import { Dialog } from "./dialog.js";
import { CommandProblem, Problem } from "./problem.js";

const t = texts.encoder;
/** A shown key hides itself again after so many seconds: screens are shared. */
const SHOW_FOR = 30;
const ICONS = { connected: "check", disconnected: "dash", unknown: "alert", unprovisioned: "wait" };

function Key({ api, ingestUrl, command, rotation }) {
  const [shown, setShown] = useState(null);       // {key, left}
  const [error, setError] = useState(null);
  const [asking, setAsking] = useState(false);
  const fetchKey = async () => (await api.get("/api/stream/key")).stream_key;

  useEffect(() => {
    if (!shown) return undefined;
    const timer = setTimeout(() => setShown(shown.left > 1 ? { ...shown, left: shown.left - 1 } : null), 1000);
    return () => clearTimeout(timer);
  }, [shown]);
  useEffect(() => setShown(null), [rotation?.status]);

  async function toggle() {
    if (shown) return setShown(null);
    try {
      setError(null);
      setShown({ key: await fetchKey(), left: SHOW_FOR });
    } catch (problem) {
      setError(problem);
    }
  }
  return html`
    <dl class="secrets">
      <div class="secret">
        <dt>${t.server}</dt>
        <dd><code data-testid="ingest-url">${ingestUrl.split(/(?=:\d)/).map((part, i) => html`${i > 0 && html`<wbr />`}${part}`)}</code></dd>
        <dd class="secret-actions"><${CopyButton} text=${() => ingestUrl} label=${t.copyServer} testid="copy-url" onError=${setError} /></dd>
      </div>
      <div class="secret">
        <dt>${t.key}</dt>
        <dd><code data-testid="stream-key">${shown ? shown.key : html`<span aria-hidden="true">••••••••••••••••</span><span class="sr-only">${t.keyHidden}</span>`}</code></dd>
        <dd class="secret-actions">
          <button type="button" class="button button-small" data-testid="show-key" aria-label=${`${shown ? t.hideKey : t.showKey}: ${t.key}`}
            onClick=${toggle}>${shown ? t.hideKey : t.showKey}</button>
          <${CopyButton} text=${fetchKey} label=${t.copyKey} testid="copy-key" onError=${setError} />
        </dd>
      </div>
    </dl>
    <div class="secret-foot">
      <span class="small quiet">${shown && t.hidesIn(shown.left)}</span>
      <button type="button" class="button button-plain button-small" data-testid="rotate-key" aria-disabled=${String(isPending(rotation))}
        onClick=${() => !isPending(rotation) && setAsking(true)}>${isPending(rotation) ? html`<span class="spinner"></span>${texts.working}` : t.rotate}</button>
    </div>
    ${error && html`<${Problem} error=${error} testid="key-error" />`}
    <${CommandProblem} command=${rotation} testid="rotate-error" />
    ${asking && html`<${Dialog} title=${t.rotateTitle} more=${t.rotateMore} yes=${t.rotateYes} danger testid="rotate-dialog"
      onYes=${() => command("rotate_key", "key")} onClose=${() => setAsking(false)} />`}`;
}

function Status({ input, state }) {
  const now = useNow();
  const parts = [];
  if (input.since && state === "connected") parts.push(t.sinceTime(atTime(input.since)));
  if (input.since && state === "disconnected") parts.push(t.since(age(secondsSince(input.since, now))));
  if (input.checked_at) parts.push(t.checked(age(secondsSince(input.checked_at, now))));
  if (state === "unknown" && input.checked_at) parts.push(t.nextCheck(input.next_check_in - secondsSince(input.checked_at, now)));
  return html`
    <div class=${`input-status input-${state}`}>
      <span class="input-icon"><${Icon} name=${ICONS[state]} /></span>
      <div>
        <div class="input-word"><span data-testid="input-state" data-state=${state}>${t[state]}</span>
          ${input.protocol && state === "connected" && html`<span class="tag">${input.protocol.toUpperCase()}</span>`}</div>
        <div class="small quiet">${parts.join(" · ")}</div>
      </div>
    </div>`;
}

export function Encoder({ store, api, command, onAir }) {
  const input = useStore(store, (state) => state.input);
  const rotation = useStore(store, (state) => commandOf(state.commands, "key"));
  const state = input.provisioned === false ? "unprovisioned" : input.state;
  const details = html`<${Key} api=${api} ingestUrl=${input.ingest_url} command=${command} rotation=${rotation} />`;
  return html`
    <section class="card" aria-labelledby="encoder-title">
      <h2 class="card-title" id="encoder-title"><${Icon} name="encoder" />${t.title}</h2>
      <${Status} input=${input} state=${state} />
      ${state === "unprovisioned" && html`<p class="small quiet">${t.unprovisionedMore}</p>`}
      ${state === "unknown" && html`<p class="small">${t.unknownMore} ${t.lastKnown[input.last_known] ?? ""} ${input.reason}</p>`}
      ${state === "disconnected" && !onAir && html`
        <div class="help"><h3>${t.notIn}</h3><ol>${t.notInSteps.map((step, i) => html`<li key=${i}>${step}</li>`)}</ol></div>`}
      ${state !== "unprovisioned" && input.ingest_url && (onAir || state === "connected"
        ? html`<details class="more"><summary>${t.details}</summary>${details}</details>` : details)}
    </section>`;
}
