// What is older than the page's topics hold: earlier events and earlier shows, by HTTP.

const PAGE = 100;
/** A gap is filled by at most this many pages; what then remains is named in the feed. */
const MAX_GAP_PAGES = 5;

export function createHistory({ api, store }) {
  const page = (before, limit) => api.get(`/api/events?before=${before}&limit=${limit}`);

  return {
    /** The page of events before those from which on the feed is whole. */
    async loadEarlier() {
      const { feed, earlier } = store.get();
      if (earlier.loading || earlier.end || feed.rows.length === 0) return;
      const set = (change) => store.dispatch({ type: "earlier", earlier: { loading: false, ...change } });
      set({ loading: true });
      try {
        const before = earlier.floor || Math.ceil(feed.rows[0].sequence);
        const { events, next } = await page(before, PAGE);
        store.dispatch({ type: "events", events, earlier: true });
        set({ end: next === null, asked: true, floor: next ?? 0 });
      } catch {
        set({});               // the button is still there
      }
    },

    /** Fetch what the topic no longer had; what cannot be fetched is named with its times. */
    async fillGap(after, before) {
      let reached = before;
      try {
        for (let i = 0; i < MAX_GAP_PAGES && reached.sequence > after.sequence + 1; i += 1) {
          const { events } = await page(reached.sequence, PAGE);
          if (events.length === 0) break;
          store.dispatch({ type: "events", events, earlier: false });
          reached = events.reduce((a, b) => (a.sequence < b.sequence ? a : b));
        }
        if (reached.sequence <= after.sequence + 1) return;
      } catch {
        // Named below like any other gap.
      }
      const gap = {
        type: "page_gap", id: `gap:${after.sequence}`, sequence: after.sequence + 0.5,
        occurred_at: after.occurred_at, missed_from: after.occurred_at, missed_until: reached.occurred_at,
      };
      store.dispatch({ type: "events", events: [gap] });
    },

    /** The summary of the show before this one; without it the page simply has none. */
    async loadLastShow() {
      try {
        const shows = (await api.get("/api/streams?limit=5")).streams;
        const show = shows.find(({ ended_at: ended }) => ended);
        if (show) store.dispatch({ type: "last_show", show });
      } catch {
        // The page is complete without it.
      }
    },
  };
}
