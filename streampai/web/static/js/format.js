// Numbers, money and times as words. Pure.
import { texts } from "./texts.js";

const plain = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clockTime = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayTime = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const whole = (n) => plain.format(n);
export const short = (n) => (Math.abs(n) < 10_000 ? plain.format(n) : compact.format(n));
export const atTime = (iso) => clockTime.format(new Date(iso));
export const atSecond = (iso) => clockSeconds.format(new Date(iso));
export const atDay = (iso) => dayTime.format(new Date(iso));

/** Seconds as 4:07 or 1:02:33; never negative. */
export function duration(seconds) {
  const all = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** Seconds as an age in words: "8 s", "3 min", "1 h 5 min". */
export function age(seconds) {
  const all = Math.max(0, Math.round(seconds));
  if (all < 1) return texts.ago.now;
  if (all < 90) return texts.ago.seconds(all);
  const minutes = Math.round(all / 60);
  if (minutes < 60) return texts.ago.minutes(minutes);
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return texts.ago.hours(hours, minutes % 60);
  return texts.ago.days(Math.floor(hours / 24));
}

/** Integer minor units of an ISO currency as money; an unknown currency is still shown. */
export function money(minorUnits, currency) {
  try {
    const format = new Intl.NumberFormat("en", { style: "currency", currency });
    return format.format(minorUnits / 10 ** format.resolvedOptions().maximumFractionDigits);
  } catch {
    return `${plain.format(minorUnits)} ${currency}`;
  }
}

/** The length that limits speak of: code points, not UTF-16 units. */
export const codePoints = (text) => [...text].length;
