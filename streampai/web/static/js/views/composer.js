// Writes into the chosen chats. Enter sends.
import { codePoints } from "../format.js";
import { html, Icon, useRef, useState } from "../html.js";
import { receipts } from "../receipts.js";
import { commandOf, isPending } from "../store.js";
import { platformTitle, texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { CommandProblem, sentence } from "./problem.js";

const t = texts.composer;
const nameOf = ({ platform, title }) => title || platformTitle(platform);

function Targets({ destinations, off, onToggle }) {
  return html`
    <div class="chips" role="group" aria-label=${t.targets}>
      ${destinations.map((destination) => {
        const { platform, monitor } = destination;
        const ready = monitor === "connected";
        const label = ready ? nameOf(destination) : t.notConnected(nameOf(destination));
        return html`
          <button key=${platform} type="button" class="chip chip-target" data-testid=${`target-${platform}`} aria-pressed=${String(ready && !off.has(platform))}
            aria-disabled=${String(!ready)} title=${label} aria-label=${label} onClick=${() => ready && onToggle(platform)}>
            <span class="accent-dot" data-platform=${platform}></span>${nameOf(destination)}</button>`;
      })}
    </div>`;
}

/** What became of the last message, in one line. */
function Outcome({ sent }) {
  if (isPending(sent)) return html`<span class="quiet"><span class="spinner"></span> ${t.sending}</span>`;
  if (sent?.status !== "done") return null;
  const { done, failed } = receipts(sent.result);
  return html`
    ${(done.length > 0 || failed.length === 0) && html`<span class="good"><${Icon} name="check" /> ${done.length ? t.sent(done.map(platformTitle)) : t.sentPlain}</span>`}
    ${failed.map(({ platform, error }) => html`<span key=${platform} class="bad">${t.failed(platformTitle(platform), sentence(error))}</span>`)}`;
}

export function Composer({ store, command }) {
  const all = useStore(store, (state) => state.stream.destinations);
  const sent = useStore(store, (state) => commandOf(state.commands, "chat"));
  const [text, setText] = useState("");
  const [off, setOff] = useState(() => new Set());
  const field = useRef(null);
  const destinations = all.filter(({ enabled, connected }) => enabled && connected);
  const targets = destinations.filter(({ platform, monitor }) => monitor === "connected" && !off.has(platform));
  const length = codePoints(text.trim());
  const limit = Math.min(...targets.map(({ chat_length: max }) => max || Infinity));
  const over = targets.filter(({ chat_length: max }) => max && length > max);
  const possible = length > 0 && targets.length > 0 && over.length === 0;

  function send(event) {
    event?.preventDefault();
    if (!possible) return;
    command("send_chat", "chat", { text: text.trim(), platforms: targets.map(({ platform }) => platform) });
    setText("");
    field.current.focus();
  }
  function key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event);
  }
  function toggle(platform) {
    const next = new Set(off);
    if (!next.delete(platform)) next.add(platform);
    setOff(next);
  }
  const near = Number.isFinite(limit) && length > limit * 0.8;
  return html`
    <form class="composer" onSubmit=${send}>
      <div class="composer-line">
        <label class="sr-only" for="composer">${t.label}</label>
        <textarea class="input" id="composer" data-testid="composer" rows="1" value=${text} dir="auto" enterkeyhint="send"
          ref=${field} placeholder=${t.placeholder(targets.map(nameOf))} aria-describedby="composer-status" aria-invalid=${over.length ? "true" : undefined}
          onInput=${(event) => setText(event.target.value)} onKeyDown=${key}></textarea>
        <button class="button button-main" data-testid="send" aria-disabled=${String(!possible)}><${Icon} name="send" />${t.send}</button>
      </div>
      <div class="composer-foot">
        <${Targets} destinations=${destinations} off=${off} onToggle=${toggle} />
        <div class="composer-status small" id="composer-status" data-testid="composer-status" aria-live="polite">
          ${over.length > 0 ? html`<span class="bad">${t.over(length - limit, over.map(nameOf))}</span>`
            : near ? html`<span class="quiet">${length} / ${limit}</span>`
            : text === "" ? html`<${Outcome} sent=${sent} />` : null}
        </div>
      </div>
      <${CommandProblem} command=${sent} testid="composer-error" />
    </form>`;
}
