// An error where it matters: a sentence one can act on, and the stable code.
import { html, Icon } from "../html.js";
import { platformTitle, texts } from "../texts.js";

/** Our words for the code, else the server's; the server's own detail is kept when it says more. */
export function sentence({ code, message }) {
  return texts.errors[code] ?? (message || texts.errors.internal_error);
}

/** Why each platform failed, where several were asked and all said no. */
function Reasons({ platforms }) {
  return html`<ul class="reasons">${Object.entries(platforms).map(([platform, why]) => html`
    <li key=${platform}><strong>${platformTitle(platform)}</strong>: ${why.message || sentence(why)} <span class="code">${why.code}</span></li>`)}</ul>`;
}

export function Problem({ error, testid, children }) {
  const own = sentence(error);
  const more = error.message && error.message !== own && ["platform_refused", "cloudflare_refused", "platform_unavailable",
    "cloudflare_unavailable", "bad_request"].includes(error.code) ? error.message : "";
  return html`
    <div class="problem" data-testid=${testid} role="alert">
      <${Icon} name="alert" />
      <div class="problem-text"><span>${own}</span>${more && html`<span>${more}</span>`}<span class="code">${error.code}</span>
        ${error.details?.platforms && html`<${Reasons} platforms=${error.details.platforms} />`}</div>
      ${children}
    </div>`;
}

/** The problem of a command that failed, or nothing. */
export function CommandProblem({ command, testid, children }) {
  if (command?.status !== "failed") return null;
  return html`<${Problem} error=${command.error ?? { code: "internal_error" }} testid=${testid}>${children}<//>`;
}
