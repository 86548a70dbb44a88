// The component library, under one name, so that no other module knows where it lies.
export { html, render, Component, useState, useEffect, useLayoutEffect, useRef, useMemo, useReducer } from "../vendor/htm-preact/standalone.module.js";
import { html } from "../vendor/htm-preact/standalone.module.js";

/**
 * Puts the sprite into the document once. References into another file would be fetched again
 * for new rows, and be missing just when the server is away.
 */
export async function loadIcons() {
  try {
    const text = await (await fetch("/static/icons.svg")).text();
    const sprite = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    sprite.classList.add("sprite");
    sprite.setAttribute("aria-hidden", "true");
    document.body.append(document.adoptNode(sprite));
  } catch {
    // Only decoration is missing then.
  }
}

/** A picture from the sprite; it is decoration, the words beside it say the same. */
export const Icon = ({ name, className = "" }) => html`
  <svg class=${`icon ${className}`} aria-hidden="true" focusable="false">
    <use href=${`#icon-${name}`}></use>
  </svg>`;
