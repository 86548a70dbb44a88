// The stream page: load who is there, load the state, listen, draw.
//
// Stable hooks for tests (data-testid; each says its value as text, many also as data-state):
//   state                 data-state = offline | ready | starting | streaming | ending
//   running-time, viewers-now, link (data-state = connected | connecting | disconnected)
//   banner-link, banner-interrupted, banner-simulated
//   input-state           data-state = connected | disconnected | unknown | unprovisioned
//   ingest-url, stream-key, show-key, copy-url, copy-key, rotate-key
//   dest-{platform}       a destination's row; inside: toggle-{platform}, connect-{platform},
//                         retry-{platform}, lamp-{platform}-video|chat|live (data-state), problem-{platform}
//   checklist             its items: check-encoder, check-chosen, check-accounts, check-logins, check-title (data-state = ok | missing | optional)
//   start, start-error    stop, stop-error, stop-dialog, stop-dialog-yes
//   clock                 the disconnect clock; clock-left (our countdown), clock-{platform}
//   title, category, save-metadata, metadata-status
//   feed                  rows carry data-event-id, data-kind, data-type, data-sequence; filter-{kind}, feed-newest, feed-earlier
//   composer, send, target-{platform}, composer-status
//   stat-messages, stat-chatters, stat-follows, stat-subscriptions, stat-raids, stat-redemptions, stat-support,
//   stat-viewers-peak, stat-viewers-average, viewers-chart
//   summary, toast, log-out
import { createApi } from "./api.js";
import { createCommands } from "./commands.js";
import { html, loadIcons, render } from "./html.js";
import { openLive } from "./live.js";
import { createStore } from "./store.js";
import { platformTitle, texts } from "./texts.js";
import { keepViewers, restoreViewers } from "./viewers_memory.js";
import { createHistory } from "./history.js";
import { App } from "./views/app.js";
import { toastOf } from "./views/toasts.js";

const api = createApi();
const store = createStore();
const history = createHistory({ api, store });
const command = createCommands({ api, store });
let live = null;

function toLogin() {
  location.assign("/login");
}

/** Ms between tries while the server says that it will be able to answer later. */
const AGAIN = 3000;

/** A platform's log-in ends here, with its outcome in the query; it is told once. */
function tellConnection() {
  const query = new URLSearchParams(location.search);
  const [connected, code] = [query.get("connected"), query.get("connection_error")];
  if (connected === null && code === null) return;
  window.history.replaceState(null, "", location.pathname);
  const toast = connected === null ? { tone: "bad", text: texts.toasts.notConnected, error: { code } }
    : { tone: "good", text: texts.toasts.connected(platformTitle(connected)) };
  store.dispatch({ type: "toast", toast: { ...toast, id: "connection" } });
}

async function load() {
  try {
    const me = await api.get("/api/me");
    const snapshot = await api.get("/api/stream");
    store.dispatch({ type: "me", me });
    store.dispatch({ type: "stream", snapshot, authoritative: false });
    store.dispatch({ type: "viewers", viewers: restoreViewers(snapshot.session_id) });
    listen(me.user.id);
    history.loadLastShow();
  } catch (error) {
    if (error.status === 401) return toLogin();
    store.dispatch({ type: "failure", error: { code: error.code ?? "internal_error", message: error.message } });
    if (error.retryable) setTimeout(() => store.get().stream ?? load(), AGAIN);
  }
}

function listen(userId) {
  live = openLive({
    userId,
    dispatch: store.dispatch,
    onNews: tell,
    onGap: ({ after, before }) => history.fillGap(after, before),
    onUnreadable: () => store.dispatch({ type: "link", link: { unreadable: true } }),
  });
  const followed = () => live.follow(store.get().stream.destinations.map(({ platform }) => platform));
  followed();
  store.subscribe(followed);
  keepViewers(store);
}

function tell(events) {
  for (const event of events) {
    const toast = toastOf(event);
    if (toast) store.dispatch({ type: "toast", toast: { ...toast, id: `event:${event.sequence}` } });
  }
}

async function logOut() {
  try {
    await api.send("DELETE", "/api/session");
  } catch (error) {
    if (error.status !== 401) {
      store.dispatch({ type: "toast", toast: { id: `logout:${Date.now()}`, tone: "bad", error } });
      return;
    }
  }
  live?.close();
  toLogin();
}

render(html`<${App} store=${store} api=${api} command=${command} history=${history} onLogOut=${logOut} onReload=${load} />`,
  document.getElementById("app"));
loadIcons();
tellConnection();
load();
