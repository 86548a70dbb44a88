// The unified feed. It follows the newest row until somebody scrolls up; then it
// stands still, whatever pours in, and says how much is new.
import { html, Icon, useEffect, useLayoutEffect, useMemo, useRef, useState } from "../html.js";
import { KINDS } from "../feed_model.js";
import { texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { FeedRow } from "./feed_row.js";

const t = texts.feed;
/** Rows in the document while following; scrolling up adds as many again each time. */
const WINDOW = 120;
/** So near (px) to the end counts as being at the end. */
const NEAR = 40;

function Filters({ hidden, onToggle }) {
  return html`
    <div class="chips" role="group" aria-label=${t.filters}>
      ${KINDS.map((kind) => html`
        <button key=${kind} type="button" class="chip" data-testid=${`filter-${kind}`} aria-pressed=${String(!hidden.has(kind))}
          onClick=${() => onToggle(kind)}>${t.kinds[kind]}</button>`)}
    </div>`;
}

function toggled(set, item) {
  const next = new Set(set);
  if (!next.delete(item)) next.add(item);
  return next;
}

export function Feed({ store, history, compact = false }) {
  const all = useStore(store, (state) => state.feed.rows);
  const earlier = useStore(store, (state) => state.earlier);
  const [hidden, setHidden] = useState(() => new Set());
  const [frozen, setFrozen] = useState(null);     // the rows as they were when somebody scrolled up
  const [size, setSize] = useState(WINDOW);
  const box = useRef(null);
  const anchor = useRef(null);                    // distance from the end, to keep while older rows are put in above

  const source = frozen ?? all;
  const { floor } = earlier;
  const rows = useMemo(() => source.filter(({ kind, sequence }) => sequence >= floor && !hidden.has(kind)), [source, hidden, floor]);
  const shown = useMemo(() => (rows.length > size ? rows.slice(-size) : rows), [rows, size]);
  const lastFrozen = frozen?.at(-1)?.sequence ?? Infinity;
  const fresh = frozen ? all.filter(({ sequence, kind }) => sequence > lastFrozen && !hidden.has(kind)).length : 0;

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    if (anchor.current !== null) {
      element.scrollTop = element.scrollHeight - anchor.current;
      anchor.current = null;
    } else if (!frozen) element.scrollTop = element.scrollHeight;
  }, [shown, frozen]);
  useEffect(() => {
    const resize = new ResizeObserver(() => {
      if (!frozen && box.current) box.current.scrollTop = box.current.scrollHeight;
    });
    resize.observe(box.current);
    return () => resize.disconnect();
  }, [frozen]);

  async function more() {
    if (rows.length <= size) await history.loadEarlier();
    anchor.current = box.current.scrollHeight - box.current.scrollTop;
    setSize(size + WINDOW);
    setFrozen((rows) => rows && store.get().feed.rows.filter(({ sequence }) => sequence <= lastFrozen));
  }
  function scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = box.current;
    const atEnd = scrollHeight - scrollTop - clientHeight < NEAR;
    if (atEnd && frozen && fresh === 0) newest();
    else if (!atEnd && !frozen) setFrozen(all);
  }
  function newest() {
    setSize(WINDOW);
    setFrozen(null);
  }
  return html`
    <div class="feed-head">
      <h2 class="card-title">${html`<${Icon} name="chat" />`}${t.title}</h2>
      ${!compact && html`<${Filters} hidden=${hidden} onToggle=${(kind) => setHidden(toggled(hidden, kind))} />`}
    </div>
    <div class="feed-body">
      <div class="feed-scroll" ref=${box} tabindex="0" role="region" aria-label=${t.rows} onScroll=${scrolled}>
        ${all.length > 0 && html`
          <div class="feed-earlier">${earlier.end && rows.length <= size ? html`<span class="small quiet">${t.start}</span>` : html`
            <button type="button" class="button button-plain button-small" data-testid="feed-earlier" onClick=${more}>
              ${earlier.loading ? t.loading : t.earlier}</button>`}</div>`}
        <ol class="feed" data-testid="feed">${shown.map((row) => html`<${FeedRow} key=${row.id} row=${row} />`)}</ol>
        ${shown.length === 0 && html`<p class="feed-empty quiet">${all.length ? t.emptyFiltered : t.empty}</p>`}
      </div>
      ${frozen && html`
        <button type="button" class="button feed-newest" data-testid="feed-newest" onClick=${newest}>
          <${Icon} name="down" />${fresh ? t.newer(fresh) : t.toNewest}</button>`}
    </div>`;
}
