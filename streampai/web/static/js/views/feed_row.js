// One event as one row. A row that has not changed is not drawn again.
import { age, atSecond, atTime, money } from "../format.js";
import { Component, html, Icon } from "../html.js";
import { platformTitle, reasonText, texts } from "../texts.js";
import { EmoteText } from "./emotes.js";

const t = texts.feed;
const COLOUR = /^#[0-9a-f]{6}$/i;
/** Names beyond this many recipients of a gift become a number. */
const SHOWN_RECIPIENTS = 4;

function Author({ author }) {
  const name = !author || author.anonymous ? t.anonymous : author.name;
  const style = COLOUR.test(author?.colour ?? "") ? { "--said-by": author.colour } : undefined;
  const role = ["broadcaster", "moderator", "vip", "subscriber"].find((role) => author?.roles?.includes(role));
  return html`${role && role !== "subscriber" && html`<span class=${`tag tag-${role}`}>${t.roles[role]}</span> `}<bdi
    class=${`author ${style ? "author-coloured" : ""}`} style=${style}>${name}</bdi>`;
}

const tierName = (tier) => texts.feed.tier[tier] ?? tier ?? "";
const span = (from, until) => age((Date.parse(until) - Date.parse(from)) / 1000);
const told = (text, emotes) => text && html` <${EmoteText} text=${text} emotes=${emotes} />`;

function subscription(event, recipients) {
  switch (event.kind) {
    case "gift": {
      const shown = recipients.slice(0, SHOWN_RECIPIENTS);
      const to = event.recipient ? [event.recipient.name] : shown;
      return html`${t.subGift(event.count ?? 1)}${to.length > 0 && html` <span class="quiet">${t.subGiftTo(to, recipients.length - shown.length)}</span>`}`;
    }
    case "gift_received": return t.subGiftReceived;
    case "renewal": return t.subRenewal(event.months ?? 0, tierName(event.tier));
    case "ended": return t.subEnded;
    default: return event.prime ? t.subPrime : t.subNew(tierName(event.tier));
  }
}

function monitorWords(event) {
  const name = platformTitle(event.platform);
  if (event.missed_from) {
    return t.monitor.gap(name, atSecond(event.missed_from), atSecond(event.missed_until), span(event.missed_from, event.missed_until));
  }
  if (event.status === "waiting") return t.monitor.waiting(name, event.reason);
  if (event.status === "relogin_needed") return t.monitor.relogin(name);
  if (event.not_subscribed?.length) return t.monitor.not_subscribed(name, event.not_subscribed);
  return t.monitor.back(name);
}

const names = (platforms) => (platforms ?? []).map(platformTitle);

/** How each kind of event is said: [tone, icon, content]; content begins with the author where there is one. */
const SAID = {
  chat_message_received: (e) => ["chat", null, html`${e.reply_to && html`<span class="reply"><${Icon} name="reply" />${t.repliesTo(e.reply_to.author_name)}
    <bdi class="reply-text">${e.reply_to.text}</bdi></span>`}<${Author} author=${e.author} /><span class="sr-only">: </span>${told(e.text, e.emotes)}`],
  notice_received: (e) => ["note", "info", html`${e.author && html`<${Author} author=${e.author} />`}${told(e.text)}`],
  follow_received: (e) => ["follow", "heart", html`<${Author} author=${e.author} /> ${t.followed}`],
  subscription_received: (e, row) => ["gift", e.kind === "gift" || e.kind === "gift_received" ? "gift" : "star",
    html`<${Author} author=${e.kind === "gift_received" ? e.recipient ?? e.author : e.author} /> ${subscription(e, row.recipients)}${told(e.text)}`],
  support_received: (e) => ["money", "gem", html`<${Author} author=${e.author} /> <strong>${e.unit ? t.supported(e.amount, e.unit)
    : t.supportedMoney(money(e.money.minor_units, e.money.currency))}</strong>${e.unit && e.money && html` <span class="quiet">${money(e.money.minor_units, e.money.currency)}</span>`}${told(e.text, e.emotes)}`],
  raid_received: (e) => ["raid", "raid", html`<${Author} author=${e.author} /> <strong>${t.raided(e.viewers)}</strong>`],
  reward_redeemed: (e) => ["gift", "star", html`<${Author} author=${e.author} /> ${t.redeemed(e.title, e.cost)}${told(e.text)}`],
  hype_train_progressed: (e) => ["gift", "star", t.hype(e.level, e.progress)],
  poll_progressed: (e) => ["system", "chart", `${t.poll[e.progress] ?? ""}: ${e.title}`],
  prediction_progressed: (e) => ["system", "chart", `${t.prediction[e.progress] ?? ""}: ${e.title}`],
  chat_cleared: (e) => ["system", "shield", e.author ? t.ban(e.author.name) : t.chatCleared],
  moderation_acted: (e) => ["system", "shield", `${t[e.kind]?.(e.target.name) ?? e.kind}${e.moderator ? ` ${t.by(e.moderator.name)}` : ""}${e.reason ? `: ${e.reason}` : ""}`],
  platform_stream_started: (e) => ["system", "broadcast", t.platformLive(platformTitle(e.platform))],
  platform_stream_ended: (e) => ["system", "dash", t.platformEnded(platformTitle(e.platform))],
  metadata_changed: (e) => ["system", "pencil", t.titleChanged(platformTitle(e.platform), e.title, e.category)],
  monitor_status_changed: (e) => [e.status === "connected" && !e.missed_from ? "system" : "trouble", e.status === "connected" ? "link" : "alert", monitorWords(e)],
  stream_started: (e) => ["mark", "broadcast", e.failed?.length ? t.startedFailed(names(e.platforms.filter((p) => !e.failed.includes(p))), names(e.failed)) : t.started(names(e.platforms))],
  output_failed: (e) => ["trouble", "alert", t.outputFailed(platformTitle(e.platform), e.reason)],
  stream_ending: (e) => ["mark", "stop", t.ending(reasonText(e.reason))],
  stream_ended: (e) => ["mark", "stop", t.ended(reasonText(e.reason))],
  disconnect_clock_started: (e) => ["trouble", "encoder", t.clockStarted(atTime(e.ends_at))],
  disconnect_clock_stopped: () => ["system", "encoder", t.clockStopped],
  stream_interrupted: (e) => ["trouble", "alert", t.interrupted(e.reason)],
  events_lost: (e) => ["trouble", "alert", t.lost(platformTitle(e.platform), e.count, atSecond(e.missed_from), atSecond(e.missed_until))],
  page_gap: (e) => ["trouble", "alert", t.gap(atSecond(e.missed_from), atSecond(e.missed_until))],
};

export class FeedRow extends Component {
  shouldComponentUpdate({ row }) {
    return row !== this.props.row;
  }

  render({ row }) {
    const { event, removed, delivered } = row;
    const [tone, icon, content] = SAID[event.type](event, row);
    const platform = event.platform;
    return html`
      <li class=${`row tone-${tone} ${event.highlighted ? "row-highlighted" : ""} ${removed ? "row-removed" : ""}`} data-event-id=${row.id}
        data-kind=${row.kind} data-type=${event.type} data-sequence=${row.sequence}>
        <time class="row-time" datetime=${event.occurred_at}>${atTime(event.occurred_at)}</time>
        <span class="row-mark" data-platform=${platform} title=${platform && platformTitle(platform)}>${icon && html`<${Icon} name=${icon} />`}</span>
        <div class="row-text">${platform && html`<span class="sr-only">${platformTitle(platform)}: </span>`}${content}
          ${delivered && html` <span class="delivered" title=${t.delivered(names(delivered.platforms))}><${Icon} name="check" />
            <span class="sr-only">${t.delivered(names(delivered.platforms))}</span></span>`}
          ${removed && html` <span class="row-note">${removed === "deleted" ? t.deleted : t.cleared}</span>`}</div>
      </li>`;
  }
}
