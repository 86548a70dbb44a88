// The log-in page. Test ids: `username`, `password`, `login`, `login-error`.
import { createApi } from "./api.js";
import { html, loadIcons, render, Icon, useRef, useState } from "./html.js";
import { texts } from "./texts.js";

const api = createApi();
const t = texts.login;

/** Where to go afterwards: only a path of this site. */
function destination() {
  const next = new URLSearchParams(location.search).get("next") ?? "/";
  return /^\/(?![/\\])/.test(next) ? next : "/";
}

function Login() {
  const [busy, setBusy] = useState(false);
  const [shown, setShown] = useState(false);
  const [error, setError] = useState(null);
  const form = useRef(null);

  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    const { username, password } = Object.fromEntries(new FormData(form.current));
    if (!username || !password) return setError({ code: "", message: t.missing });
    setBusy(true);
    setError(null);
    try {
      await api.send("POST", "/api/session", { username: username.trim(), password });
      location.assign(destination());
    } catch (problem) {
      setBusy(false);
      setError({ code: problem.code, message: texts.errors[problem.code] ?? problem.message });
      form.current.querySelector("#password").select();
    }
  }

  return html`
    <main class="login">
      <section class="login-story" aria-label=${texts.product}>
        <div class="login-brand"><${Icon} name="mark" />${texts.product}</div>
        <div><h1>${t.headline}</h1><p>${t.story}</p></div>
        <div class="login-foot">${t.foot}</div>
        <svg class="login-art" aria-hidden="true"><use href="#icon-mark"></use></svg>
      </section>
      <div class="login-side">
        <form class="login-form" ref=${form} onSubmit=${submit} novalidate aria-labelledby="login-title">
          <h2 id="login-title">${t.title}</h2>
          <div class="field">
            <label for="username">${t.name}</label>
            <input class="input" id="username" name="username" data-testid="username" autocomplete="username"
              autocapitalize="none" spellcheck="false" maxlength="32" autofocus required
              aria-invalid=${error ? "true" : undefined} aria-describedby="login-error" />
          </div>
          <div class="field">
            <label for="password">${t.password}</label>
            <div class="password">
              <input class="input" id="password" name="password" data-testid="password" type=${shown ? "text" : "password"}
                autocomplete="current-password" maxlength="1024" required
                aria-invalid=${error ? "true" : undefined} aria-describedby="login-error" />
              <button type="button" class="button button-plain" aria-pressed=${String(shown)} aria-controls="password"
                onClick=${() => setShown(!shown)}>${shown ? t.hide : t.show}</button>
            </div>
          </div>
          <div id="login-error" role="alert" data-testid="login-error">
            ${error && html`<div class="problem"><${Icon} name="alert" /><div class="problem-text">${error.message}
              ${error.code && html`<span class="code">${error.code}</span>`}</div></div>`}
          </div>
          <button class="button button-main" data-testid="login" aria-disabled=${String(busy)}>
            ${busy ? html`<span class="spinner"></span>${t.working}` : t.submit}
          </button>
        </form>
      </div>
    </main>`;
}

document.title = `${t.title} · ${texts.product}`;
loadIcons();
render(html`<${Login} />`, document.getElementById("app"));
