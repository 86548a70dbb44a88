// The unified feed as data: all topics merged by `sequence`. Pure.
//
// A row is one event with what later events did to it: {id, sequence, kind,
// event, removed, recipients, delivered}. A message of ours that went to several
// chats comes back from each; it is one row. Rows are replaced, never changed, so that a row
// that is the same object looks the same.

/** More than anybody scrolls back in a page; older rows come from the API. */
export const MAX_ROWS = 1000;

export const KINDS = ["chat", "support", "people", "system"];

const KIND_OF = {
  chat_message_received: "chat", notice_received: "chat",
  subscription_received: "support", support_received: "support", reward_redeemed: "support", hype_train_progressed: "support",
  follow_received: "people", raid_received: "people",
  chat_cleared: "system", moderation_acted: "system", poll_progressed: "system", prediction_progressed: "system",
  platform_stream_started: "system", platform_stream_ended: "system", metadata_changed: "system",
  monitor_status_changed: "system", stream_started: "system", output_failed: "system", stream_ending: "system",
  stream_ended: "system", disconnect_clock_started: "system", disconnect_clock_stopped: "system",
  stream_interrupted: "system", events_lost: "system", page_gap: "system",
};

/** `sent`: message id → {command, platforms} of the messages that were sent from here. */
export const emptyFeed = { rows: [], ids: new Set(), sent: new Map() };

/** The id by which an event is one event; lifecycle events have only their number. */
export const idOf = (event) => event.id ?? `sequence:${event.sequence}`;

/** A monitor's every step is not news: only trouble and the return from it are. */
function isNews(event, rows) {
  if (event.type !== "monitor_status_changed") return true;
  if (["waiting", "relogin_needed"].includes(event.status)) return true;
  if (event.missed_from || event.not_subscribed?.length) return true;
  if (event.status !== "connected") return false;
  const before = rows.findLast((row) => row.event.type === "monitor_status_changed" && row.event.platform === event.platform);
  return before !== undefined && before.event.status !== "connected";
}

const row = (event) => ({
  id: idOf(event), sequence: event.sequence ?? 0, kind: KIND_OF[event.type], event, removed: "", recipients: [], delivered: null,
});

/** What one event does to rows that are already there; undefined when it is no such event. */
function effect(event) {
  const same = (row) => row.event.platform === event.platform;
  switch (event.type) {
    case "chat_message_deleted":
      return (row) => (same(row) && row.event.message_id === event.message_id ? { ...row, removed: "deleted" } : row);
    case "chat_cleared":
      return (row) => (same(row) && row.kind === "chat" && row.sequence < event.sequence
        && (!event.author || event.author.id === row.event.author?.id) ? { ...row, removed: "cleared" } : row);
    case "subscription_received":
      if (event.kind !== "gift_received" || !event.gift_id) return undefined;
      return (row) => (same(row) && row.event.kind === "gift" && row.event.gift_id === event.gift_id
        ? { ...row, recipients: [...row.recipients, event.recipient?.name ?? event.author?.name ?? ""] } : row);
    default:
      return undefined;
  }
}

/** The delivered message that a chat row is the echo of, or undefined. */
const echoOf = (row, sent) => (row.kind === "chat" ? sent.get(row.event.message_id) : undefined);

/** Learn what a finished `send_chat` delivered; its echoes that are already there become one row. */
function deliver(event, rows, sent) {
  const receipts = Object.entries(event.result?.receipts ?? {}).filter(([, receipt]) => receipt.message_id);
  const delivered = { command: event.command_id, platforms: receipts.map(([platform]) => platform) };
  for (const [, receipt] of receipts) sent.set(receipt.message_id, delivered);
  let first = true;
  return rows.flatMap((row) => {
    if (echoOf(row, sent) !== delivered) return [row];
    const kept = first ? [{ ...row, delivered }] : [];
    first = false;
    return kept;
  });
}

/**
 * The feed with `events` in their places: ascending by sequence, each id once, at most MAX_ROWS.
 * `earlier` says that older events were asked for, so the newest rows make room instead of the oldest.
 */
export function mergeEvents(feed, events, { earlier = false } = {}) {
  const ids = new Set(feed.ids);
  const fresh = [];
  for (const event of events) {
    const id = idOf(event);
    if (ids.has(id)) continue;
    ids.add(id);
    fresh.push(event);
  }
  if (fresh.length === 0) return feed;
  fresh.sort((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0));

  let rows = feed.rows.slice();
  const sent = new Map(feed.sent);
  for (const event of fresh) {
    if (event.type === "command_done" && event.command === "send_chat") rows = deliver(event, rows, sent);
    const change = effect(event);
    if (change) {
      const changed = rows.map(change);
      const found = changed.some((row, i) => row !== rows[i]);
      rows = changed;
      // A gift's recipient is told on the gift's own row; without that row it stands alone.
      if (found && event.type === "subscription_received") continue;
    }
    if (!KIND_OF[event.type] || !isNews(event, rows)) continue;
    const added = row(event);
    const delivered = echoOf(added, sent) ?? null;
    if (delivered && rows.some((row) => row.delivered === delivered)) continue;
    insert(rows, { ...added, delivered });
  }
  if (rows.length > MAX_ROWS) rows = earlier ? rows.slice(0, MAX_ROWS) : rows.slice(-MAX_ROWS);
  return { rows, ids: ids.size > 4 * MAX_ROWS ? new Set(rows.map((row) => row.id)) : ids, sent: newest(sent, MAX_ROWS) };
}

const newest = (map, most) => (map.size > most ? new Map([...map].slice(-most)) : map);

/** Nearly always the newest: look for the place from the end. */
function insert(rows, row) {
  let place = rows.length;
  while (place > 0 && rows[place - 1].sequence > row.sequence) place -= 1;
  rows.splice(place, 0, row);
}
