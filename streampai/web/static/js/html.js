// The component library, under one name, so that no other module knows where it lies.
export { html, render, Component, useState, useEffect, useLayoutEffect, useRef, useMemo, useReducer } from "../vendor/htm-preact/standalone.module.js";
import { html } from "../vendor/htm-preact/standalone.module.js";

/** A picture from the sprite; it is decoration, the words beside it say the same. */
export const Icon = ({ name, className = "" }) => html`
  <svg class=${`icon ${className}`} aria-hidden="true" focusable="false">
    <use href=${`/static/icons.svg#${name}`}></use>
  </svg>`;
