// The page's skeleton: the same places in each state, so that nobody has to look for things.
import { html, useEffect, useState, Icon } from "../html.js";
import { phaseOf } from "../store.js";
import { texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { Banners } from "./banners.js";
import { Composer } from "./composer.js";
import { Destinations } from "./destinations.js";
import { DisconnectClock } from "./disconnect_clock.js";
import { Encoder } from "./encoder.js";
import { Feed } from "./feed.js";
import { Launch } from "./launch.js";
import { Metadata } from "./metadata.js";
import { Announcer } from "./announcer.js";
import { Statistics } from "./statistics.js";
import { StopPanel } from "./stop_panel.js";
import { Summary } from "./summary.js";
import { Toasts } from "./toasts.js";
import { Topbar } from "./topbar.js";

const PANES = [["feed", "chat", texts.top.paneFeed], ["show", "broadcast", texts.top.paneShow], ["numbers", "chart", texts.top.paneNumbers]];

function Panes({ pane, onChoose }) {
  return html`
    <nav class="panes" aria-label=${texts.top.panes}>
      ${PANES.map(([name, icon, label]) => html`
        <button key=${name} type="button" class="pane" data-testid=${`pane-${name}`} aria-current=${name === pane ? "true" : undefined}
          onClick=${() => onChoose(name)}><${Icon} name=${icon} />${label}</button>`)}
    </nav>`;
}

function LastEvents({ store, history }) {
  const some = useStore(store, (state) => state.feed.rows.length > 0);
  return some && html`
    <section class="card feed-card feed-card-before" aria-label=${texts.feed.title}>
      <${Feed} store=${store} history=${history} compact />
    </section>`;
}

function Loading({ failure, onReload }) {
  return html`
    <main class="loading">
      ${failure ? html`
        <div class="card loading-card" role="alert">
          <h1>${texts.loadFailed}</h1>
          <p>${texts.errors[failure.code] ?? failure.message}</p>
          <p class="code">${failure.code}</p>
          <button class="button button-main" onClick=${onReload}>${texts.tryAgain}</button>
        </div>` : html`<p class="quiet" role="status"><span class="spinner"></span> ${texts.loading}</p>`}
    </main>`;
}

export function App({ store, api, command, history, onLogOut, onReload }) {
  const stream = useStore(store, (state) => state.stream);
  const failure = useStore(store, (state) => state.failure);
  const me = useStore(store, (state) => state.me);
  const past = useStore(store, (state) => state.lastShow !== null || state.feed.rows.length > 0);
  const [pane, setPane] = useState("feed");
  const phase = stream ? phaseOf(stream) : null;
  const onAir = phase === "streaming" || phase === "ending";
  const [draft, setDraft] = useState({ title: null, category: null });
  useEffect(() => {
    // The button that led here is gone; without this the keyboard would begin at the top again.
    if (document.activeElement === document.body) document.getElementById("room")?.focus({ preventScroll: true });
  }, [onAir]);
  useEffect(() => {
    document.title = phase ? `${texts.titleState[phase]} · ${texts.product}` : texts.product;
  }, [phase]);
  if (!stream || !me) return html`<${Loading} failure=${failure} onReload=${onReload} />`;

  const parts = { store, api, command };
  const metadata = html`<${Metadata} ...${parts} draft=${draft} onDraft=${setDraft} />`;
  return html`
    <a class="skip" href="#room">${texts.top.skip}</a>
    <${Topbar} ...${parts} onLogOut=${onLogOut} />
    <${Banners} store=${store} onReload=${() => location.reload()} />
    <main id="room" tabindex="-1" class=${`room ${onAir ? "room-air" : "room-before"}`} data-pane=${pane}>
      ${onAir && html`<h1 class="sr-only">${texts.top.heading}</h1>`}
      ${onAir && html`<${Panes} pane=${pane} onChoose=${setPane} />`}
      ${onAir && html`<${DisconnectClock} ...${parts} />`}
      <div class="column column-show">
        ${!onAir && html`<${Encoder} ...${parts} onAir=${false} />`}
        <${Destinations} ...${parts} onAir=${onAir} />
        ${onAir && html`<${Encoder} ...${parts} onAir=${true} />`}
        ${onAir && metadata}
      </div>
      <div class="column column-main">
        ${onAir ? html`
          <section class="card feed-card" aria-label=${texts.feed.title}>
            <${Feed} store=${store} history=${history} />
            <${Composer} ...${parts} />
          </section>` : html`
          <${Launch} ...${parts} />
          ${metadata}`}
      </div>
      ${onAir ? html`
        <div class="column column-numbers">
          <${StopPanel} ...${parts} />
          <${Statistics} store=${store} />
        </div>` : past && html`
        <div class="column column-numbers">
          <${Summary} store=${store} />
          <${LastEvents} store=${store} history=${history} />
        </div>`}
    </main>
    <${Toasts} store=${store} />
    <${Announcer} store=${store} />`;
}
