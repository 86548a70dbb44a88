// The decision to end the show: hold, or press and be asked.
import { html, Icon, useState } from "../html.js";
import { commandOf, isPending } from "../store.js";
import { platformTitle, texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { Dialog } from "./dialog.js";
import { HoldButton } from "./hold_button.js";
import { CommandProblem } from "./problem.js";

const t = texts.stop;

export function StopPanel({ store, command }) {
  const state = useStore(store, (state) => state.stream.state);
  const destinations = useStore(store, (state) => state.stream.destinations);
  const asked = useStore(store, (state) => commandOf(state.commands, "stop"));
  const [asking, setAsking] = useState(false);
  const stopping = isPending(asked) || state === "ending";
  const stop = () => command("stop_stream", "stop");
  const sentTo = destinations.filter(({ output }) => output === "active").map(({ platform, title }) => title || platformTitle(platform));
  return html`
    <section class="card stop-panel" aria-label=${t.panel}>
      ${stopping ? html`
        <button type="button" class="button button-large" data-testid="stop" aria-disabled="true"><span class="spinner"></span>${t.stopping}</button>
        <p class="small quiet">${texts.launch.subEnding}</p>` : html`
        <${HoldButton} label=${html`<${Icon} name="stop" />${t.hold}`} holding=${t.holding} describedby="stop-how" testid="stop"
          disabled=${false} onHeld=${stop} onShort=${() => setAsking(true)} />
        <p class="small quiet" id="stop-how">${t.how}</p>`}
      <${CommandProblem} command=${asked} testid="stop-error" />
      ${asking && html`<${Dialog} title=${t.title} more=${t.more(sentTo)} yes=${t.yes} no=${t.no} danger testid="stop-dialog"
        onYes=${stop} onClose=${() => setAsking(false)} />`}
    </section>`;
}
