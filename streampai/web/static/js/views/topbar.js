// State, running time and viewers, always in the same place and of the same width.
import { secondsSince, useNow } from "../clock.js";
import { duration, short } from "../format.js";
import { html, Icon } from "../html.js";
import { phaseOf } from "../store.js";
import { texts } from "../texts.js";
import { useStore } from "../use_store.js";

function Running({ since }) {
  const now = useNow();
  return html`<span class="running" data-testid="running-time" title=${texts.top.running}>
    <span class="sr-only">${texts.top.running}: </span>${duration(secondsSince(since, now))}</span>`;
}

function Link({ store }) {
  const { status } = useStore(store, (state) => state.link);
  const up = status === "connected";
  const label = up ? texts.top.linkUp : texts.top.linkDown;
  return html`<span class="link" data-testid="link" data-state=${status} title=${label}>
    <span class="link-dot" aria-hidden="true"></span><span class="link-word">${label}</span></span>`;
}

export function Topbar({ store, onLogOut }) {
  const stream = useStore(store, (state) => state.stream);
  const me = useStore(store, (state) => state.me);
  const viewers = useStore(store, (state) => state.statistics?.total.viewers_now ?? null);
  const phase = phaseOf(stream);
  const onAir = phase === "streaming" || phase === "ending";
  return html`
    <header class="topbar">
      <a class="brand" href="/" aria-label=${texts.product}><${Icon} name="mark" /><span class="brand-name">${texts.product}</span></a>
      <div class="topbar-state">
        <span class="state" data-testid="state" data-state=${phase}><span class="state-lamp" aria-hidden="true"></span>${texts.states[phase]}</span>
        ${onAir && stream.started_at && html`<${Running} since=${stream.started_at} />`}
        ${onAir && viewers !== null && html`
          <span class="topbar-viewers" title=${texts.top.viewers(viewers)}><${Icon} name="eye" />
            <span data-testid="topbar-viewers">${short(viewers)}</span><span class="sr-only"> ${texts.stats.viewers}</span></span>`}
      </div>
      <div class="topbar-end">
        <${Link} store=${store} />
        <span class="user">${me.user.name}</span>
        <button type="button" class="button button-plain button-small" data-testid="log-out" title=${texts.top.logOut} onClick=${onLogOut}>
          <${Icon} name="exit" /><span class="log-out-word">${texts.top.logOut}</span></button>
      </div>
    </header>`;
}
