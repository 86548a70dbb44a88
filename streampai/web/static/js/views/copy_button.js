// Copies a text, and says so in the button's own place.
import { html, Icon, useEffect, useState } from "../html.js";
import { texts } from "../texts.js";

/** `text` is a function that gives the text or its promise; it is asked for only when wanted. */
export function CopyButton({ text, label, testid, onError }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return undefined;
    const timer = setTimeout(() => setCopied(false), 2000);
    return () => clearTimeout(timer);
  }, [copied]);
  async function copy() {
    try {
      await navigator.clipboard.writeText(await text());
      setCopied(true);
    } catch (error) {
      onError(error.code ? error : { code: "copy_failed", message: texts.encoder.copyFailed });
    }
  }
  return html`
    <button type="button" class="button button-small copy" data-testid=${testid} aria-label=${label} onClick=${copy}>
      <${Icon} name=${copied ? "check" : "copy"} /><span aria-live="polite">${copied ? texts.encoder.copied : texts.encoder.copy}</span>
    </button>`;
}
