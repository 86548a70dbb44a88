// The live connection: the user's topics by the Centrifuge client, turned into actions.
//
// Publications are collected and handed on a few times a second, so that a
// storm of events costs the page ten drawings a second and not two hundred.
// Every handler is guarded: the client ends for good when one of them throws.
import "../vendor/centrifuge/centrifuge.js";

const { Centrifuge } = globalThis;

/** Gather this long (ms) before drawing: below what a reader notices. */
const FLUSH_AFTER = 100;
/** A refused subscription is asked for again after so long (ms): the user's tasks may be restarting. */
const RESUBSCRIBE = [1000, 3000, 10_000];

const socketUrl = () => `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/connection/websocket`;

/** `onNews` gets what happens while the page watches, not what it finds on arrival. */
export function openLive({ userId, dispatch, onNews, onGap, onUnreadable, url = socketUrl() }) {
  const client = new Centrifuge(url, { name: "page", minReconnectDelay: 400, maxReconnectDelay: 8000 });
  const topics = new Map();      // topic → subscription
  let waiting = [];              // events
  let news = [];                 // those of them that were published just now
  let snapshots = new Map();     // type → newest action
  let timer = 0;

  function flush() {
    timer = 0;
    const [events, fresh, latest] = [waiting, news, snapshots];
    [waiting, news, snapshots] = [[], [], new Map()];
    for (const action of latest.values()) dispatch(action);
    if (events.length) dispatch({ type: "events", events });
    if (fresh.length) onNews(fresh);
  }
  function soon() {
    if (!timer) timer = setTimeout(guarded(flush), FLUSH_AFTER);
  }

  /** Whatever goes wrong in `handler` is told, and the connection lives. */
  function guarded(handler) {
    return (context) => {
      try {
        handler(context);
      } catch (error) {
        console.error("live:", error);
        onUnreadable(error);
      }
    };
  }

  function snapshotTopic(type) {
    const take = (snapshot, authoritative) => {
      const before = snapshots.get(type);
      snapshots.set(type, { type, snapshot, authoritative: authoritative || (before?.authoritative ?? false) });
      soon();
    };
    return { snapshot: (data) => take(data, true), publication: (data) => take(data, false) };
  }

  function eventTopic() {
    let last = null;             // the newest event seen on this topic
    const take = (event) => {
      if (!last || event.sequence > last.sequence) last = event;
      waiting.push(event);
      soon();
    };
    return {
      snapshot(data, { wasRecovering, position }) {
        const events = data.events ?? [];
        // Not recovered: what lies between the last seen event and the oldest kept one may be gone.
        const oldest = events[0]?.data;
        if (wasRecovering && last && oldest && oldest.sequence > last.sequence + 1 && events[0].offset > position + 1) {
          onGap({ after: last, before: oldest });
        }
        if (!wasRecovering && oldest && events[0].offset > 1) dispatch({ type: "floor", sequence: oldest.sequence });
        for (const { data: event } of events) take(event);
      },
      publication(event) {
        news.push(event);
        take(event);
      },
    };
  }

  function subscribe(topic, { snapshot, publication }) {
    if (topics.has(topic)) return;
    const subscription = client.newSubscription(topic, { minResubscribeDelay: 400, maxResubscribeDelay: 8000 });
    let position = 0;            // the last offset delivered
    let refusals = 0;
    topics.set(topic, subscription);
    subscription.on("subscribed", guarded((context) => {
      refusals = 0;
      if (!context.recovered && context.data) snapshot(context.data, { wasRecovering: context.wasRecovering, position });
      position = context.streamPosition?.offset ?? position;
    }));
    subscription.on("publication", guarded((context) => {
      heard = Date.now();
      position = context.offset ?? position;
      publication(context.data);
    }));
    subscription.on("unsubscribed", guarded(({ code }) => {
      if (code < 100) return;    // by us
      const wait = RESUBSCRIBE[Math.min(refusals, RESUBSCRIBE.length - 1)];
      refusals += 1;
      setTimeout(() => topics.has(topic) && subscription.subscribe(), wait);
    }));
    subscription.on("error", () => {});   // temporary: the client comes back by itself
    subscription.subscribe();
  }

  const link = (link) => dispatch({ type: "link", link });
  let away = true;               // not connected since the last `connecting`
  let heard = null;              // when the last publication came (ms, browser)
  client.on("connecting", guarded(({ code }) => {
    // A line that went silent (code 2) was last right when something last came over it.
    if (!away) link({ status: "connecting", since: code === 2 ? heard : Date.now() });
    away = true;
  }));
  client.on("connected", guarded(() => {
    away = false;
    heard = Date.now();
    link({ status: "connected", since: null });
  }));
  client.on("disconnected", guarded(({ code, reason }) => link({ status: "disconnected", since: Date.now(), code, reason })));
  client.on("error", () => {});           // told by `connecting`

  subscribe(`user_stream:${userId}`, snapshotTopic("stream"));
  subscribe(`user_stream:${userId}:statistics`, snapshotTopic("statistics"));
  subscribe(`cloudflare_input:${userId}`, snapshotTopic("input"));
  subscribe(`stream_lifecycle:${userId}`, eventTopic());
  client.connect();

  return {
    /** Listen to the events of these platforms too; those already listened to stay. */
    follow(platforms) {
      for (const platform of platforms) subscribe(`platform:${platform}:${userId}`, eventTopic());
    },
    close: () => client.disconnect(),
  };
}
