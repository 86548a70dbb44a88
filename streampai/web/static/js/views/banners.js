// What concerns the whole page: the line to the server, an interruption, simulated platforms.
import { age } from "../format.js";
import { html, Icon, useEffect, useState } from "../html.js";
import { texts } from "../texts.js";
import { useStore } from "../use_store.js";

const t = texts.banners;
/** A blip shorter than this (ms) is not worth a banner. */
const PATIENCE = 900;
/** Close codes that mean: whoever this was may not listen any more. */
const SIGNED_OUT = [1, 101, 3500, 3503, 3507];

function Away({ since }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = (now - since) / 1000;
  return html`<span class="spinner"></span><span>${t.reconnecting(age(Math.max(1, seconds)))}</span>`;
}

function LinkBanner({ store }) {
  const link = useStore(store, (state) => state.link);
  const [late, setLate] = useState(false);
  const away = link.status === "connecting" && link.since !== null;
  useEffect(() => {
    if (!away) return setLate(false);
    const timer = setTimeout(() => setLate(true), PATIENCE);
    return () => clearTimeout(timer);
  }, [away]);
  const banner = (content) => html`<div class="banner banner-warn" data-testid="banner-link">${content}</div>`;
  if (link.status === "disconnected") {
    const out = SIGNED_OUT.includes(link.code);
    return banner(html`<${Icon} name="alert" />
      <span role="alert">${out ? t.signedOut : t.ended(`${link.code} ${link.reason}`)}</span>
      ${out ? html`<a class="button button-small" href="/login">${t.logIn}</a>`
        : html`<button class="button button-small" onClick=${() => location.reload()}>${t.reload}</button>`}`);
  }
  if (link.unreadable) {
    return banner(html`<${Icon} name="alert" /><span role="alert">${t.outOfOrder}</span>
      <button class="button button-small" onClick=${() => location.reload()}>${t.reload}</button>`);
  }
  return away && late ? banner(html`<${Away} since=${link.since} />`) : null;
}

export function Banners({ store }) {
  const interrupted = useStore(store, (state) => state.stream.interrupted);
  const simulated = useStore(store, (state) => state.stream.simulated);
  const sandbox = useStore(store, (state) => state.me.sandbox_url);
  return html`
    <section class="banners" aria-label=${t.title}>
      <${LinkBanner} store=${store} />
      ${interrupted && html`
        <div class="banner banner-bad" data-testid="banner-interrupted"><${Icon} name="alert" />
          <span><strong>${t.interrupted}.</strong> ${interrupted}</span></div>`}
      ${simulated && html`
        <div class="banner banner-note" data-testid="banner-simulated"><${Icon} name="info" />
          <span><strong>${t.simulated}</strong> <span class="banner-more">${t.simulatedMore}</span></span>
          ${sandbox && html`<a href=${sandbox} target="_blank" rel="noopener">${t.sandbox}</a>`}</div>`}
    </section>`;
}
