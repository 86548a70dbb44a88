// The numbers of this show; each knows its age.
import { secondsSince, useNow } from "../clock.js";
import { age, money, short, whole } from "../format.js";
import { html, Icon } from "../html.js";
import { platformTitle, texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { ViewersChart } from "./viewers_chart.js";

const t = texts.stats;

const empty = {
  messages: 0, chatters: 0, follows: 0, subscriptions: 0, gifted: 0, raids: 0, raiders: 0, redemptions: 0, support: {}, units: {},
  viewers_now: null, viewers_at: null, viewers_peak: 0, viewers_average: 0, messages_per_minute: 0,
};

/** Money of each currency, then units that have no price of their own. */
export function supportWords({ support, units }) {
  return [
    ...Object.entries(support ?? {}).map(([currency, minor]) => money(minor, currency)),
    ...Object.entries(units ?? {}).map(([unit, amount]) => `${whole(amount)} ${unit}`),
  ];
}

export function Stat({ name, label, value, more }) {
  return html`
    <div class="stat"><dt>${label}</dt><dd><span class="stat-value" data-testid=${`stat-${name}`}>${value}</span>
      <span class="stat-more">${more}</span></dd></div>`;
}

export function StatGrid({ total }) {
  const [first, ...others] = supportWords(total);
  return html`
    <dl class="stats">
      <${Stat} name="messages" label=${t.messages} value=${short(total.messages)} more=${total.messages_per_minute ? t.perMinute(total.messages_per_minute) : ""} />
      <${Stat} name="chatters" label=${t.chatters} value=${short(total.chatters)} />
      <${Stat} name="follows" label=${t.follows} value=${short(total.follows)} />
      <${Stat} name="subscriptions" label=${t.subscriptions} value=${short(total.subscriptions)} more=${total.gifted ? t.gifted(total.gifted) : ""} />
      <${Stat} name="raids" label=${t.raids} value=${short(total.raids)} more=${total.raiders ? t.raiders(total.raiders) : ""} />
      <${Stat} name="redemptions" label=${t.redemptions} value=${short(total.redemptions)} />
      <div class="stat stat-wide"><dt>${t.support}</dt>
        <dd><span class="stat-value" data-testid="stat-support">${first ?? t.nobody}</span>
          <span class="stat-more">${first ? others.join(" · ") : t.noSupport}</span></dd></div>
    </dl>`;
}

function Age({ at, say }) {
  const now = useNow();
  return html`<span class="small quiet age">${at ? say(age(secondsSince(at, now))) : ""}</span>`;
}

function ByPlatform({ platforms }) {
  const rows = Object.entries(platforms ?? {});
  if (rows.length < 2) return null;
  return html`
    <table class="by-platform">
      <caption class="sr-only">${t.byPlatform}</caption>
      <thead><tr><th scope="col">${t.byPlatform}</th><th scope="col">${t.viewers}</th><th scope="col">${t.messages}</th></tr></thead>
      <tbody>${rows.map(([platform, numbers]) => html`
        <tr key=${platform}><th scope="row"><span class="accent-dot" data-platform=${platform}></span>${platformTitle(platform)}</th>
          <td>${numbers.viewers_now ?? t.nobody}</td><td>${short(numbers.messages)}</td></tr>`)}</tbody>
    </table>`;
}

export function Statistics({ store }) {
  const statistics = useStore(store, (state) => state.statistics);
  const total = statistics?.total ?? empty;
  const known = total.viewers_now !== null;
  return html`
    <section class="card statistics" aria-labelledby="statistics-title">
      <h2 class="sr-only" id="statistics-title">${t.title}</h2>
      <div class="viewers">
        <div class="viewers-now">
          <span class="label">${t.viewers}</span>
          <span class="viewers-value" data-testid="viewers-now">${known ? whole(total.viewers_now) : t.nobody}</span>
          ${known ? html`<${Age} at=${total.viewers_at} say=${t.asOf} />` : html`<span class="small quiet age">${t.noViewers}</span>`}
        </div>
        <dl class="viewers-side">
          <div><dt>${t.peak}</dt><dd data-testid="stat-viewers-peak">${total.viewers_peak ? whole(total.viewers_peak) : t.nobody}</dd></div>
          <div><dt>${t.average}</dt><dd data-testid="stat-viewers-average">${total.viewers_peak ? whole(Math.round(total.viewers_average)) : t.nobody}</dd></div>
        </dl>
      </div>
      <${ViewersChart} store=${store} />
      <${StatGrid} total=${total} />
      <${ByPlatform} platforms=${statistics?.platforms} />
    </section>`;
}
