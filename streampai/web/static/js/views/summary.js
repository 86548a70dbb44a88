// What the last show was, once it is over.
import { atDay, duration, whole } from "../format.js";
import { html, Icon } from "../html.js";
import { reasonText, texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { StatGrid } from "./statistics.js";

const t = texts.summary;
const zero = { messages: 0, chatters: 0, follows: 0, subscriptions: 0, gifted: 0, raids: 0, raiders: 0, redemptions: 0, support: {}, units: {} };

export function Summary({ store }) {
  const show = useStore(store, (state) => state.lastShow);
  if (!show) return null;
  const total = { ...zero, ...show.summary.statistics?.total };
  const lasted = show.started_at ? (Date.parse(show.ended_at) - Date.parse(show.started_at)) / 1000 : null;
  return html`
    <section class="card summary" data-testid="summary" aria-labelledby="summary-title">
      <h2 class="card-title" id="summary-title"><${Icon} name="chart" />${t.title}</h2>
      <p class="summary-head">${lasted !== null && html`<span class="summary-time">${duration(lasted)}</span>`}
        <span class="small quiet">${t.endedAt(atDay(show.ended_at))}${show.reason ? `, ${reasonText(show.reason)}` : ""}</span></p>
      <dl class="viewers-side viewers-row">
        <div><dt>${texts.stats.peak} ${texts.stats.viewers.toLowerCase()}</dt><dd>${total.viewers_peak ? whole(total.viewers_peak) : texts.stats.nobody}</dd></div>
        <div><dt>${texts.stats.average}</dt><dd>${total.viewers_peak ? whole(Math.round(total.viewers_average)) : texts.stats.nobody}</dd></div>
      </dl>
      <${StatGrid} total=${{ ...total, messages_per_minute: 0 }} />
    </section>`;
}
