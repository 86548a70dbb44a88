// A modal question. The browser keeps the focus inside, Escape means no.
import { html, useEffect, useRef } from "../html.js";
import { texts } from "../texts.js";

export function Dialog({ title, more, yes, no = texts.cancel, danger = false, testid, onYes, onClose }) {
  const dialog = useRef(null);
  useEffect(() => {
    dialog.current.showModal();
  }, []);
  const id = `${testid}-title`;
  return html`
    <dialog ref=${dialog} data-testid=${testid} aria-labelledby=${id} onClose=${onClose}>
      <h2 id=${id}>${title}</h2>
      <p>${more}</p>
      <div class="dialog-actions">
        <button type="button" class="button" onClick=${() => dialog.current.close()}>${no}</button>
        <button type="button" class=${`button ${danger ? "button-danger-fill" : "button-main"}`} data-testid=${`${testid}-yes`}
          onClick=${() => { onYes(); dialog.current.close(); }}>${yes}</button>
      </div>
    </dialog>`;
}
