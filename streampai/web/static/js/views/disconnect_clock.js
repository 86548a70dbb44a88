// The encoder has left: how long until we end the show, and until each platform does.
import { secondsSince, useNow } from "../clock.js";
import { atTime, duration } from "../format.js";
import { html, Icon } from "../html.js";
import { platformTitle, texts } from "../texts.js";
import { useStore } from "../use_store.js";

const t = texts.clock;

function PlatformLimit({ destination, leftAt, now }) {
  const { platform, title, encoder_timeout: limit } = destination;
  const left = limit - secondsSince(leftAt, now);
  return html`
    <li class=${`clock-limit ${left <= 0 ? "clock-limit-over" : ""}`} data-testid=${`clock-${platform}`}>
      <span class="clock-name">${title || platformTitle(platform)}</span>
      <span class="small">${left > 0 ? t.platformLimit(limit) : t.platformGone}</span>
      <span class="clock-time">${duration(left)}</span>
    </li>`;
}

export function DisconnectClock({ store }) {
  const endsAt = useStore(store, (state) => state.stream.grace_ends_at);
  return endsAt === null ? null : html`<${Clock} store=${store} endsAt=${endsAt} />`;
}

function Clock({ store, endsAt }) {
  const now = useNow();
  const since = useStore(store, (state) => state.input.since);
  const inputState = useStore(store, (state) => state.input.state);
  const destinations = useStore(store, (state) => state.stream.destinations);
  const left = -secondsSince(endsAt, now);
  const sent = destinations.filter(({ output, encoder_timeout: limit }) => output === "active" && limit);
  // The platforms' own clocks run since the picture stopped, which the ingest dates.
  const known = inputState === "disconnected" && since !== null;
  return html`
    <section class="clock" data-testid="clock" aria-labelledby="clock-title">
      <div class="clock-words">
        <h2 id="clock-title"><${Icon} name="encoder" />${t.title}</h2>
        <p>${t.more}</p>
        ${known && html`<p class="small quiet">${t.since(atTime(since))}</p>`}
      </div>
      <div class="clock-ours">
        <span class="clock-digits" role="timer" data-testid="clock-left">${duration(left)}</span>
        <span class="small">${left > 0 ? t.ours : t.over}</span>
      </div>
      ${known && sent.length > 0 && html`
        <ul class="clock-limits">${sent.map((destination) => html`
          <${PlatformLimit} key=${destination.platform} destination=${destination} leftAt=${since} now=${now} />`)}</ul>`}
    </section>`;
}
