// The decision to go live: why not yet, and one large button.
import { html, Icon } from "../html.js";
import { commandOf, isPending, phaseOf } from "../store.js";
import { platformTitle, texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { CommandProblem } from "./problem.js";

const t = texts.launch;
const CHECK_ICONS = { ok: "check", missing: "cross", optional: "dash" };
const names = (destinations) => destinations.map(({ platform, title }) => title || platformTitle(platform));

/** What stands between now and a start: [{id, state: ok | missing | optional, text}]. Pure. */
export function checklist(stream, input) {
  const chosen = stream.destinations.filter(({ enabled }) => enabled);
  const strangers = chosen.filter(({ connected }) => !connected);
  const signedOut = chosen.filter(({ connected, relogin }) => connected && relogin);
  const encoder = stream.state === "ready" || stream.state === "streaming";
  const checks = [
    { id: "encoder", state: encoder ? "ok" : "missing",
      text: encoder ? t.checkEncoder : input.state === "unknown" ? t.checkEncoderUnknown : t.checkEncoderNot },
    { id: "chosen", state: chosen.length ? "ok" : "missing", text: chosen.length ? t.checkChosen(names(chosen)) : t.checkChosenNot },
  ];
  if (/web|whip/i.test(input.protocol ?? "") && encoder) checks.push({ id: "protocol", state: "missing", text: t.checkProtocol });
  if (strangers.length) checks.push({ id: "accounts", state: "missing", text: t.checkAccountsNot(names(strangers)) });
  if (signedOut.length) checks.push({ id: "logins", state: "missing", text: t.checkRelogin(names(signedOut)) });
  if (chosen.length && !strangers.length && !signedOut.length) checks.push({ id: "accounts", state: "ok", text: t.checkAccounts });
  const titled = stream.metadata.title.trim() !== "";
  checks.push({ id: "title", state: titled ? "ok" : "optional", text: titled ? t.checkTitle : t.checkTitleNot });
  return checks;
}

function words(phase, missing, chosen) {
  if (phase === "starting") return [t.headStarting, t.subStarting];
  if (phase === "offline") return [t.headOffline, t.subOffline];
  return missing.length ? [t.headNotYet, t.subNotYet(missing.length)] : [t.headReady, t.subReady(names(chosen))];
}

export function Launch({ store, command }) {
  const stream = useStore(store, (state) => state.stream);
  const input = useStore(store, (state) => state.input);
  const asked = useStore(store, (state) => commandOf(state.commands, "start"));
  const checks = checklist(stream, input);
  const missing = checks.filter(({ state }) => state === "missing");
  const chosen = stream.destinations.filter(({ enabled }) => enabled);
  const starting = isPending(asked) || phaseOf(stream) === "starting";
  const phase = starting ? "starting" : stream.state;
  const [head, sub] = words(phase, missing, chosen);
  const possible = missing.length === 0 && !starting;
  const start = () => possible && command("start_stream", "start", { platforms: chosen.map(({ platform }) => platform) });
  return html`
    <section class="card launch" data-phase=${phase} aria-labelledby="launch-title">
      <div class="launch-words"><h1 id="launch-title">${head}</h1><p class="launch-sub">${sub}</p></div>
      <ul class="checks" id="checklist" data-testid="checklist" aria-label=${t.checklist}>
        ${checks.map(({ id, state, text }) => html`
          <li key=${id} class=${`check check-${state}`} data-testid=${`check-${id}`} data-state=${state}>
            <span class="check-icon"><${Icon} name=${CHECK_ICONS[state]} /></span><span>${text}</span>
            <span class="sr-only"> (${state === "ok" ? t.done : t[state]})</span></li>`)}
      </ul>
      <button type="button" class="button button-main button-large start" data-testid="start" aria-disabled=${String(!possible)}
        aria-describedby="checklist" onClick=${start}>
        ${starting ? html`<span class="spinner"></span>${t.starting}` : html`<${Icon} name="broadcast" />${t.start}`}</button>
      ${stream.state !== "streaming" && html`<${CommandProblem} command=${asked} testid="start-error" />`}
    </section>`;
}
