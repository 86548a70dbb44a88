// An error where it matters: a sentence one can act on, and the stable code.
import { html, Icon } from "../html.js";
import { texts } from "../texts.js";

/** Our words for the code, else the server's; the server's own detail is kept when it says more. */
export function sentence({ code, message }) {
  return texts.errors[code] ?? (message || texts.errors.internal_error);
}

export function Problem({ error, testid, children }) {
  const own = sentence(error);
  const more = error.message && error.message !== own && ["platform_refused", "cloudflare_refused", "platform_unavailable",
    "cloudflare_unavailable", "bad_request", "all_platforms_failed"].includes(error.code) ? error.message : "";
  return html`
    <div class="problem" data-testid=${testid} role="alert">
      <${Icon} name="alert" />
      <div class="problem-text"><span>${own}</span>${more && html`<span>${more}</span>`}<span class="code">${error.code}</span></div>
      ${children}
    </div>`;
}

/** The problem of a command that failed, or nothing. */
export function CommandProblem({ command, testid, children }) {
  if (command?.status !== "failed") return null;
  return html`<${Problem} error=${command.error ?? { code: "internal_error" }} testid=${testid}>${children}<//>`;
}
