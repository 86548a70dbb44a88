// Commands: asked over HTTP under an id of ours, answered on stream_lifecycle.
//
// Asking twice with one id acts once, so an ask whose answer got lost is simply
// asked again. The outcome is an event; the store finds the command by its id.

/** How often an unanswered ask is repeated, and after how many ms. */
const RETRIES = [600, 2000, 5000];
/** An accepted command whose outcome stays away for so long (ms) is said to be open. */
const OUTCOME_TIMEOUT = 60_000;

const ROUTES = {
  start_stream: () => ["POST", "/api/stream/start"],
  stop_stream: () => ["POST", "/api/stream/stop"],
  set_destination: ({ platform }) => ["PUT", `/api/stream/destinations/${encodeURIComponent(platform)}`],
  retry_destination: ({ platform }) => ["POST", `/api/stream/destinations/${encodeURIComponent(platform)}/retry`],
  send_chat: () => ["POST", "/api/chat"],
  edit_metadata: () => ["PATCH", "/api/stream/metadata"],
  rotate_key: () => ["POST", "/api/stream/key/rotate"],
};

/** 32 hex digits; crypto.randomUUID is missing on pages served without TLS. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function createCommands({ api, store, retries = RETRIES }) {
  const set = (id, change) => {
    const now = store.get().commands[id];
    // An outcome that overtook the answer stands.
    if (now && now.status !== "done" && now.status !== "failed") {
      store.dispatch({ type: "command", command: { ...now, ...change } });
    }
  };

  async function ask(id, method, { platform, ...fields }) {
    const [verb, path] = ROUTES[method]({ platform });
    for (const wait of [...retries, null]) {
      try {
        await api.send(verb, path, { ...fields, id });
        return set(id, { status: "accepted" });
      } catch (error) {
        if (error.code !== "network" || wait === null) {
          const { code, message, retryable, details } = error;
          return set(id, { status: "failed", error: { code, message, retryable, details } });
        }
        await pause(wait);
      }
    }
  }

  /** Ask for `method`; progress and outcome are shown where `area` is. Gives the command's id. */
  return function command(method, area, fields = {}) {
    const id = newId();
    store.dispatch({ type: "command", command: { id, method, area, fields, status: "sending", error: null, result: null } });
    ask(id, method, fields);
    setTimeout(() => set(id, { status: "failed", error: { code: "no_outcome", retryable: false } }), OUTCOME_TIMEOUT);
    return id;
  };
}
