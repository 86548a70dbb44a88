// Where the stream goes: on or off, the account, three witnesses, and a cure for each trouble.
import { secondsSince, useNow } from "../clock.js";
import { html, Icon, useState } from "../html.js";
import { commandOf, isPending } from "../store.js";
import { platformTitle, texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { Dialog } from "./dialog.js";
import { CommandProblem, Problem } from "./problem.js";

const t = texts.destinations;
/** The outcome of each witness as one of: ok, busy, bad, off. */
const VIDEO = { none: "off", creating: "busy", active: "ok", failed: "bad", removing: "busy" };
const CHAT = { stopped: "off", connecting: "busy", connected: "ok", waiting: "bad", relogin_needed: "bad" };
const LAMP_ICONS = { ok: "check", busy: "wait", bad: "cross", off: "dash" };

const titleOf = (destination) => destination.title || platformTitle(destination.platform);

export function PlatformTile({ platform }) {
  return html`<span class="tile" data-platform=${platform} aria-hidden="true">${platformTitle(platform).slice(0, 1)}</span>`;
}

function Lamp({ platform, name, state, word }) {
  return html`
    <span class=${`lamp lamp-${state}`} data-testid=${`lamp-${platform}-${name}`} data-state=${state} title=${`${t.lamps[name]}: ${word}`}>
      <${Icon} name=${LAMP_ICONS[state]} />${t.lamps[name]}<span class="sr-only">: ${word}</span></span>`;
}

function Lamps({ destination, picture }) {
  const { platform, output, monitor, live } = destination;
  const dry = output === "active" && !picture;
  const liveState = live === null ? "off" : live ? "ok" : "busy";
  return html`
    <div class="lamps">
      <${Lamp} platform=${platform} name="video" state=${dry ? "busy" : VIDEO[output] ?? "off"} word=${dry ? t.noPicture : t.video[output] ?? output} />
      <${Lamp} platform=${platform} name="chat" state=${CHAT[monitor] ?? "off"} word=${t.chat[monitor] ?? monitor} />
      <${Lamp} platform=${platform} name="live" state=${liveState} word=${t.live[live === null ? "unknown" : live ? "yes" : "no"]} />
    </div>`;
}

function RetryIn({ at }) {
  const now = useNow();
  const left = Math.ceil(-secondsSince(at, now));
  return left > 0 ? html`<span class="quiet"> · ${t.retryIn(left)}</span>` : null;
}

/** What is wrong with a destination's chat; the video's trouble is a Problem of its own. */
function MonitorNote({ destination }) {
  const { monitor, monitor_reason: reason, retry_at: at, breaker } = destination;
  if (!["waiting", "relogin_needed"].includes(monitor)) return null;
  return html`<p class="note small"><${Icon} name="chat" /><span>${t.lamps.chat}: ${reason || t.chat[monitor]}
    ${breaker !== "closed" && html` <span>· ${t.breaker[breaker] ?? breaker}</span>`}
    ${at && html`<${RetryIn} at=${at} />`}</span></p>`;
}

function Switch({ destination, pending, onToggle }) {
  const { platform, enabled } = destination;
  const on = pending ? pending.fields.enabled : enabled;
  return html`
    <button type="button" role="switch" class="switch" data-testid=${`toggle-${platform}`} aria-checked=${String(on)}
      aria-label=${t.toggle(titleOf(destination))} aria-busy=${String(Boolean(pending))}
      onClick=${() => !pending && onToggle(!enabled)}><span class="switch-thumb"></span></button>`;
}

function Account({ destination }) {
  const { platform, connected, relogin, account } = destination;
  const href = `/connections/${encodeURIComponent(platform)}/login`;
  const name = titleOf(destination);
  if (!connected || relogin) {
    return html`<span class="dest-account">
      <span class="quiet">${relogin ? t.reloginNeeded : t.noAccount}</span>
      <a class="button button-small" href=${href} data-testid=${`connect-${platform}`}>
        <${Icon} name="link" />${relogin ? t.relogin : t.connect}<span class="sr-only">: ${name}</span></a></span>`;
  }
  return html`<span class="dest-account quiet">${t.account(account)}</span>`;
}

function Destination({ store, command, destination, onAir }) {
  const { platform, enabled, output, monitor } = destination;
  const toggled = useStore(store, (state) => commandOf(state.commands, `destination:${platform}`));
  const retried = useStore(store, (state) => commandOf(state.commands, `retry:${platform}`));
  const picture = useStore(store, (state) => state.input.state !== "disconnected");
  const [asking, setAsking] = useState(false);
  const set = (on) => command("set_destination", `destination:${platform}`, { platform, enabled: on });
  const toggle = (on) => (onAir && !on && output === "active" ? setAsking(true) : set(on));
  const active = onAir && (enabled || output !== "none");
  const broken = output === "failed" || monitor === "waiting";
  const name = titleOf(destination);
  const retrying = isPending(retried);
  const retry = html`
    <button type="button" class="button button-small" data-testid=${`retry-${platform}`} aria-label=${t.retryOf(name)} aria-disabled=${String(retrying)}
      onClick=${() => !retrying && command("retry_destination", `retry:${platform}`, { platform })}>
      ${retrying ? html`<span class="spinner"></span>` : html`<${Icon} name="retry" />`}${t.retry}</button>`;
  return html`
    <li class="dest" data-testid=${`dest-${platform}`} data-output=${output} data-monitor=${monitor} data-enabled=${String(enabled)}>
      <div class="dest-head">
        <${PlatformTile} platform=${platform} />
        <div class="dest-name"><span class="dest-title">${name}</span><${Account} destination=${destination} /></div>
        <${Switch} destination=${destination} pending=${isPending(toggled) ? toggled : null} onToggle=${toggle} />
      </div>
      ${active && html`<${Lamps} destination=${destination} picture=${picture} />`}
      ${output === "failed" && html`
        <${Problem} testid=${`problem-${platform}`} error=${{ code: destination.output_code || "platform_unavailable", message: destination.output_reason }}>${retry}<//>`}
      ${active && html`<${MonitorNote} destination=${destination} />`}
      ${active && broken && output !== "failed" && retry}
      <${CommandProblem} command=${toggled} testid=${`toggle-error-${platform}`} />
      <${CommandProblem} command=${retried} testid=${`retry-error-${platform}`} />
      ${asking && html`<${Dialog} title=${t.dropTitle(name)} more=${t.dropMore(name)} yes=${t.dropYes(name)} danger testid=${`drop-${platform}`}
        onYes=${() => set(false)} onClose=${() => setAsking(false)} />`}
    </li>`;
}

export function Destinations({ store, command, onAir }) {
  const destinations = useStore(store, (state) => state.stream.destinations);
  return html`
    <section class="card" aria-labelledby="destinations-title">
      <h2 class="card-title" id="destinations-title"><${Icon} name="broadcast" />${t.title}</h2>
      ${destinations.length === 0 ? html`<p class="quiet">${t.none}</p>` : html`
        <ul class="dests">${destinations.map((destination) => html`
          <${Destination} key=${destination.platform} store=${store} command=${command} destination=${destination} onAir=${onAir} />`)}</ul>`}
    </section>`;
}
