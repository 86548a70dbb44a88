// The viewer curve outlives a reload of the tab: kept in sessionStorage, per show.

const KEY = "viewers";
/** Not more often than this (ms): it is a convenience, not a record. */
const EVERY = 5000;

export function restoreViewers(session) {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEY));
    const usable = kept?.session === session && session !== null && Array.isArray(kept.points)
      && kept.points.every((point) => Array.isArray(point) && point.length === 2 && point.every(Number.isFinite));
    if (usable) return { session, points: kept.points };
  } catch {
    // Unreadable or forbidden: the curve begins anew.
  }
  return { session, points: [] };
}

export function keepViewers(store) {
  let kept = null;
  const keep = () => {
    const { viewers } = store.get();
    if (viewers === kept || viewers.session === null) return;
    kept = viewers;
    try {
      sessionStorage.setItem(KEY, JSON.stringify(viewers));
    } catch {
      // Full or forbidden: nothing is lost but the curve on reload.
    }
  };
  setInterval(keep, EVERY);
  addEventListener("pagehide", keep);
}
