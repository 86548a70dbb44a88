// Title and category, changed everywhere at once, with a receipt per platform.
import { codePoints } from "../format.js";
import { html, Icon, useEffect } from "../html.js";
import { receipts } from "../receipts.js";
import { commandOf, isPending } from "../store.js";
import { platformTitle, texts } from "../texts.js";
import { useStore } from "../use_store.js";
import { CommandProblem, sentence } from "./problem.js";

const t = texts.metadata;

function Receipts({ result }) {
  const { done, failed } = receipts(result);
  return html`
    <span><${Icon} name="check" /> ${done.length ? t.receipt.done(done.map(platformTitle)) : t.saved}</span>
    ${failed.map(({ platform, error }) => html`<span key=${platform} class="bad">${t.receipt.failed(platformTitle(platform), sentence(error))}</span>`)}`;
}

export function Metadata({ store, command, draft, onDraft }) {
  const metadata = useStore(store, (state) => state.stream.metadata);
  const destinations = useStore(store, (state) => state.stream.destinations);
  const edited = useStore(store, (state) => commandOf(state.commands, "metadata"));
  // A field of the draft that is null is untouched and follows the server, as one does that the server has taken over.
  useEffect(() => {
    onDraft((draft) => ({
      title: draft.title === metadata.title ? null : draft.title,
      category: draft.category === metadata.category ? null : draft.category,
    }));
  }, [metadata]);
  const title = draft.title ?? metadata.title;
  const category = draft.category ?? metadata.category;
  const changed = title !== metadata.title || category !== metadata.category;
  const chosen = destinations.filter(({ enabled, connected }) => enabled && connected);
  const limit = Math.min(...chosen.map(({ title_length: length }) => length || Infinity));
  const length = codePoints(title);
  const over = chosen.filter(({ title_length: max }) => max && length > max).map(({ platform }) => platformTitle(platform));
  const pending = isPending(edited);
  const emptied = title.trim() === "" && metadata.title !== "";
  const possible = changed && over.length === 0 && !emptied && !pending;

  function save(event) {
    event.preventDefault();
    if (!possible) return;
    const fields = { platforms: chosen.map(({ platform }) => platform) };
    if (title !== metadata.title) fields.title = title;
    if (category !== metadata.category) fields.category = category;
    command("edit_metadata", "metadata", fields);
  }
  return html`
    <form class="card metadata" onSubmit=${save} aria-labelledby="metadata-title">
      <h2 class="card-title" id="metadata-title"><${Icon} name="pencil" />${t.title}</h2>
      <div class="field">
        <div class="field-head"><label for="title">${t.titleField}</label>
          <span class=${`counter ${over.length || emptied ? "counter-over" : ""}`} id="title-counter">
            ${over.length ? `${t.over(over)} · ` : emptied ? `${t.empty} · ` : ""}${Number.isFinite(limit) ? `${length} / ${limit}` : length}</span></div>
        <input class="input" id="title" data-testid="title" value=${title} placeholder=${t.titleHint} autocomplete="off" dir="auto"
          aria-invalid=${over.length ? "true" : undefined} aria-describedby="title-counter"
          onInput=${(event) => onDraft({ ...draft, title: event.target.value })} />
      </div>
      <div class="field">
        <label for="category">${t.category}</label>
        <input class="input" id="category" data-testid="category" value=${category} placeholder=${t.categoryHint} autocomplete="off" dir="auto"
          onInput=${(event) => onDraft({ ...draft, category: event.target.value })} />
      </div>
      <div class="metadata-foot">
        <div class="receipts small" data-testid="metadata-status" aria-live="polite">
          ${edited?.status === "done" && !changed && html`<${Receipts} result=${edited.result} />`}
          ${changed && !pending && html`<span class="quiet">${t.unsaved}</span>`}
        </div>
        <button class="button" data-testid="save-metadata" aria-disabled=${String(!possible)}>
          ${pending ? html`<span class="spinner"></span>${t.saving}` : t.save}</button>
      </div>
      <${CommandProblem} command=${edited} testid="metadata-error" />
    </form>`;
}
