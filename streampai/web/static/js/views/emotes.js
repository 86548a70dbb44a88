// A text with its emotes: ranges in code points become pictures, all else stays text. Pure.
import { html } from "../html.js";

/** [{text}] and [{text, url}] pieces in order; ranges that overlap, lie outside or have no https picture are left as text. */
export function pieces(text, emotes = []) {
  const points = [...text];
  const usable = emotes
    .filter(({ begin, end, url }) => Number.isInteger(begin) && Number.isInteger(end) && begin >= 0 && begin < end && end <= points.length
      && typeof url === "string" && url.startsWith("https://"))
    .sort((a, b) => a.begin - b.begin);
  const found = [];
  let at = 0;
  for (const { begin, end, url } of usable) {
    if (begin < at) continue;
    if (begin > at) found.push({ text: points.slice(at, begin).join("") });
    found.push({ text: points.slice(begin, end).join(""), url });
    at = end;
  }
  if (at < points.length) found.push({ text: points.slice(at).join("") });
  return found;
}

/** The name alone when the picture cannot be loaded. */
const asText = ({ target }) => target.replaceWith(target.alt);

export const EmoteText = ({ text, emotes }) => html`<bdi class="said" dir="auto">${pieces(text, emotes).map((piece, i) => (piece.url
  ? html`<img key=${i} class="emote" src=${piece.url} alt=${piece.text} title=${piece.text} loading="lazy" decoding="async"
      referrerpolicy="no-referrer" onError=${asText} />` : piece.text))}</bdi>`;
