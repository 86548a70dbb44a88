// A button that acts when it is held, by pointer or by Enter or Space.
//
// A short press asks instead, so that nobody needs to be able to hold: screen
// readers and switches send a plain click.
import { html, useEffect, useRef, useState } from "../html.js";

/** Long enough not to happen by accident, short enough not to annoy (ms). */
const HOLD = 1200;

export function HoldButton({ label, holding: holdingLabel, describedby, testid, disabled, onHeld, onShort }) {
  const [holding, setHolding] = useState(false);
  const timer = useRef(0);
  const handled = useRef(false);       // this press is ours; the click that follows it is not another
  useEffect(() => () => clearTimeout(timer.current), []);

  function begin(byPointer) {
    if (disabled || timer.current) return;
    handled.current = byPointer;
    setHolding(true);
    timer.current = setTimeout(() => {
      timer.current = 0;
      setHolding(false);
      onHeld();
    }, HOLD);
  }
  function end(short) {
    if (!short) handled.current = false;
    if (!timer.current) return;
    clearTimeout(timer.current);
    timer.current = 0;
    setHolding(false);
    if (short) onShort();
  }
  const isKey = ({ key }) => key === "Enter" || key === " ";
  return html`
    <button type="button" class=${`button button-large button-danger-fill hold ${holding ? "hold-on" : ""}`} data-testid=${testid}
      aria-describedby=${describedby} aria-disabled=${String(disabled)}
      onPointerDown=${(event) => event.button === 0 && begin(true)}
      onPointerUp=${() => end(true)} onPointerLeave=${() => end(false)} onPointerCancel=${() => end(false)}
      onKeyDown=${(event) => { if (isKey(event)) { event.preventDefault(); if (!event.repeat) begin(false); } }}
      onKeyUp=${(event) => { if (isKey(event)) { event.preventDefault(); end(true); } }}
      onBlur=${() => end(false)} onContextMenu=${(event) => event.preventDefault()}
      onClick=${() => { if (!handled.current && !disabled) onShort(); handled.current = false; }}>
      <span class="hold-fill" aria-hidden="true"></span><span class="hold-label">${holding ? holdingLabel : label}</span>
    </button>`;
}
