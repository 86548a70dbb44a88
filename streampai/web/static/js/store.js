// All that the page knows, and how each message changes it. The reducers are pure.
import { emptyFeed, mergeEvents } from "./feed_model.js";

/** Eight hours at one count each 15 s; older points are thinned out. */
const MAX_POINTS = 2000;
const MAX_TOASTS = 4;
const MAX_COMMANDS = 50;

export const initial = {
  me: null,              // {user, sandbox_url?}
  failure: null,         // why the first load failed
  link: { status: "connecting", since: null, code: 0, reason: "" },
  stream: null,          // the state snapshot
  statistics: null,
  input: null,           // the encoder's newest news, from its own topic or the state snapshot
  feed: emptyFeed,
  // The feed is whole from `floor` on: one topic may have kept less of the past than another.
  earlier: { loading: false, end: false, floor: 0, asked: false },
  viewers: { session: null, points: [] },   // [ms, count]
  commands: {},          // id → {id, method, area, status, error, result, at}
  startedAt: null,       // of the show that runs or ran last
  lastShow: null,        // {summary, reason, started_at, ended_at}
  toasts: [],
};

/** A snapshot taken at subscription is the truth; others count only when they are newer. */
const newer = (old, next, authoritative) => authoritative || !old || next.revision > old.revision;

export function reduce(state, action) {
  switch (action.type) {
    case "me": return { ...state, me: action.me };
    case "failure": return { ...state, failure: action.error };
    case "link": return { ...state, link: { ...state.link, ...action.link } };
    case "stream": return withStream(state, action);
    case "input": return { ...state, input: newestInput(state.input, action.snapshot) };
    case "statistics": return withStatistics(state, action);
    case "viewers": return { ...state, viewers: action.viewers };
    case "events": return withEvents(state, action);
    case "earlier": return { ...state, earlier: { ...state.earlier, ...action.earlier } };
    case "floor": return withFloor(state, action.sequence);
    case "command": return withCommand(state, action.command);
    case "dismiss_command": return { ...state, commands: without(state.commands, action.id) };
    case "last_show": return { ...state, lastShow: laterShow(state.lastShow, action.show) };
    case "toast": return { ...state, toasts: [...state.toasts, action.toast].slice(-MAX_TOASTS) };
    case "dismiss": return { ...state, toasts: state.toasts.filter((toast) => toast.id !== action.id) };
    default: throw new Error(`no such action: ${action.type}`);
  }
}

function withStream(state, { snapshot, authoritative }) {
  if (!newer(state.stream, snapshot, authoritative)) return state;
  const session = snapshot.session_id ?? state.viewers.session;
  const viewers = session === state.viewers.session ? state.viewers : { session, points: [] };
  return { ...state, stream: snapshot, input: newestInput(state.input, snapshot.input), failure: null, viewers,
    startedAt: snapshot.started_at ?? state.startedAt };
}

/** Both the input's own topic and the state snapshot carry it; the later check is the newer one. */
function newestInput(old, next) {
  const at = (input) => Date.parse(input?.checked_at ?? "") || 0;
  return !old || at(next) >= at(old) ? { ...old, ...next } : old;
}

function withStatistics(state, { snapshot, authoritative }) {
  if (!newer(state.statistics, snapshot, authoritative)) return state;
  const next = { ...state, statistics: snapshot };
  const { viewers_now: now, viewers_at: when } = snapshot.total;
  if (now === null || now === undefined || !when) return next;
  return { ...next, viewers: withPoint(state.viewers, snapshot.session_id, Date.parse(when), now) };
}

function withPoint(viewers, session, when, count) {
  const points = session === viewers.session || session === null ? viewers.points : [];
  const last = points.at(-1);
  if (last && when <= last[0]) return viewers;
  let grown = [...points, [when, count]];
  // Every second of the older half: the shape of a long evening stays, its detail goes.
  if (grown.length > MAX_POINTS) grown = grown.filter((_, i) => i % 2 === 0 || i > grown.length / 2);
  return { session: session ?? viewers.session, points: grown };
}

function withEvents(state, { events, earlier }) {
  let next = { ...state, feed: mergeEvents(state.feed, events, { earlier }) };
  for (const event of events) {
    if (event.type === "command_done" || event.type === "command_failed") next = withOutcome(next, event);
    if (event.type === "stream_ended" && !earlier) next = { ...next, lastShow: laterShow(next.lastShow, showOf(state, event)) };
  }
  return next;
}

/** Once earlier events were asked for, the answers say how far down the feed is whole. */
function withFloor(state, sequence) {
  const { earlier } = state;
  return earlier.asked || sequence <= earlier.floor ? state : { ...state, earlier: { ...earlier, floor: sequence } };
}

/** Where the storage's record and the event tell of the same end, the record knows more. */
function laterShow(old, show) {
  if (!old) return show;
  const apart = Date.parse(show.ended_at) - Date.parse(old.ended_at);
  return apart > 10_000 || (apart > -10_000 && show.started_at) ? show : old;
}

function showOf(state, event) {
  const known = state.startedAt !== null && state.startedAt < event.occurred_at ? state.startedAt : null;
  return { summary: event.summary ?? {}, reason: event.reason, ended_at: event.occurred_at, started_at: event.summary?.started_at ?? known };
}

function withOutcome(state, event) {
  const asked = state.commands[event.command_id];
  if (!asked || asked.status === "done" || asked.status === "failed") return state;
  const failed = event.type === "command_failed";
  return withCommand(state, {
    ...asked, status: failed ? "failed" : "done", error: failed ? event.error : null, result: event.result ?? {},
  });
}

function withCommand(state, command) {
  const commands = { ...state.commands, [command.id]: command };
  const ids = Object.keys(commands);
  return { ...state, commands: ids.length > MAX_COMMANDS ? without(commands, ids[0]) : commands };
}

function without(commands, id) {
  const { [id]: _, ...rest } = commands;
  return rest;
}

/** The last command of an area ("start", "destination:twitch"), which is what its place shows. */
export function commandOf(commands, area) {
  return Object.values(commands).findLast((command) => command.area === area) ?? null;
}

export const isPending = (command) => command !== null && ["sending", "accepted"].includes(command.status);

/** What the badge says: the state, or that it is being started. */
export const phaseOf = (stream) => (stream.busy === "starting" && stream.state !== "streaming" ? "starting" : stream.state);

export function createStore(start = initial) {
  let state = start;
  const listeners = new Set();
  return {
    get: () => state,
    dispatch(action) {
      const next = reduce(state, action);
      if (next === state) return;
      state = next;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
