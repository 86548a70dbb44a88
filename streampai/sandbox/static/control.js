// The control page: asks for the books every second and draws what changed.

const byId = (id) => document.getElementById(id);
const drawn = new Map();

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// Redraw only what differs, and give the focus back: the page is used while it changes.
function draw(id, facts, build) {
  const text = JSON.stringify(facts);
  if (drawn.get(id) === text) return;
  drawn.set(id, text);
  const focused = document.activeElement?.id;
  byId(id).replaceChildren(...build(facts));
  if (focused && byId(focused) && document.activeElement?.id !== focused) byId(focused).focus();
}

async function call(path, body = {}, method = "POST") {
  const answer = await fetch(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: method === "POST" ? JSON.stringify(body) : undefined,
  });
  const result = await answer.json();
  byId("said").textContent = result.error ?? "";
  await refresh();
}

function table(caption, heads, rows) {
  if (!rows.length) return [element("p", { className: "hint" }, "Nothing yet.")];
  return [
    element(
      "table",
      { "aria-label": caption },
      element("thead", {}, element("tr", {}, ...heads.map((h) => element("th", { scope: "col" }, h)))),
      element(
        "tbody",
        {},
        ...rows.map((cells) =>
          element("tr", {}, ...cells.map((c) => element("td", {}, c instanceof Node ? c : String(c)))),
        ),
      ),
    ),
  ];
}

const yesNo = (value, yes, no) => element("span", { className: value ? "good" : "bad" }, value ? yes : no);

function encoders(inputs) {
  if (!inputs.length) return [element("p", { className: "hint" }, "No live input yet: start the daemon and log in.")];
  return inputs.map((live) => {
    const who = live.name || live.uid.slice(0, 8);
    const protocol = element(
      "select",
      { id: `protocol-${live.uid}`, "aria-label": `Protocol of ${who}`, disabled: live.connected },
      ...["rtmp", "srt", "webrtc"].map((name) => element("option", { value: name, selected: name === live.protocol }, name)),
    );
    const button = element(
      "button",
      {
        id: `encoder-${live.uid}`,
        role: "switch",
        "aria-checked": String(live.connected),
        "aria-label": `Encoder of ${who}`,
        onclick: () => call("/encoder", { user: live.uid, connected: !live.connected, protocol: protocol.value }),
      },
      live.connected ? "on" : "off",
    );
    const outputs = [...live.outputs, ...live.leaving].map((output) =>
      element(
        "li",
        {},
        `${output.platform || new URL(output.url).host}, key …${output.key_tail}`,
        yesNo(output.pushing, "pushing", output.enabled ? output.state ?? "waiting" : "disabled"),
      ),
    );
    return element(
      "div",
      { className: "input" },
      element("strong", {}, who),
      protocol,
      button,
      element("ul", { className: "plain", "aria-label": `Outputs of ${who}` }, ...outputs),
    );
  });
}

function channels(found) {
  return table(
    "Twitch channels",
    ["Channel", "State", "Viewers", "Title", "Category"],
    Object.entries(found).map(([login, c]) => [login, yesNo(c.live, "live", "off air"), c.viewers, c.title, c.category]),
  );
}

const shortPath = (path) =>
  path.replace(/^\/client\/v4\/accounts\/\w+\/stream/, "").replace(/([0-9a-f]{4})[0-9a-f]{28}/g, "$1…");

function show(state) {
  const { cloudflare, twitch, faults, stories } = state;
  draw("encoders", cloudflare.inputs, encoders);
  draw("channels", twitch.channels, channels);
  const chosen = byId("channel").value;
  draw("channel", twitch.users, (users) =>
    users.map((u) => element("option", { value: u.login, selected: u.login === chosen }, u.login)),
  );
  draw("running", stories, (running) =>
    running.map((story) =>
      element(
        "li",
        {},
        `${story.name} on ${story.user}`,
        element("button", { id: `stop-${story.number}`, onclick: () => call(`/scenarios/${story.number}`, {}, "DELETE") }, "Stop"),
      ),
    ),
  );
  draw(
    "counts",
    [
      ["Cloudflare calls", cloudflare.requests.total],
      ["busiest five minutes", cloudflare.requests.peak],
      ["refused by the limit", cloudflare.blocked],
      ["Twitch calls", twitch.requests.total],
      ["sockets", twitch.sockets.length],
      ["subscriptions", twitch.subscriptions.filter((s) => s.status === "enabled").length],
    ],
    (counts) => counts.map(([name, n]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(n)))),
  );
  const events = Object.entries(twitch.delivered).flatMap(([login, list]) => list.map((e) => ({ login, ...e })));
  events.sort((a, b) => b.number - a.number);
  draw("events", events.slice(0, 30), (list) =>
    table("Latest events", ["#", "Channel", "Event", "Delivered"], list.map((e) => [e.number, e.login, e.kind, yesNo(e.delivered, "yes", "no")])),
  );
  const calls = [...cloudflare.requests.log, ...twitch.requests.log].sort((a, b) => (a.at < b.at ? 1 : -1));
  draw("calls", calls.slice(0, 30), (list) =>
    table(
      "Latest calls",
      ["Time", "Call", "Answer"],
      list.map((c) => [c.at.slice(11, 19), `${c.method} ${shortPath(c.path)}`, yesNo(c.status && c.status < 400, c.status, c.fault || c.status || "none")]),
    ),
  );
  draw("sent", twitch.sent_chat.slice(-30).reverse(), (list) =>
    table("Chat that was sent", ["Time", "Channel", "Text"], list.map((c) => [c.at.slice(11, 19), c.channel, c.is_sent ? c.text : `dropped: ${c.text}`])),
  );
  for (const input of byId("knobs").querySelectorAll("input")) {
    const part = faults[input.dataset.part];
    const value = (part.chances ?? part)[input.dataset.name] * Number(input.dataset.scale);
    if (document.activeElement !== input) input.value = String(value);
    label(input);
  }
}

function label(input) {
  input.nextElementSibling.textContent = `${input.value}${input.dataset.scale === "100" ? " %" : " s"}`;
}

async function refresh() {
  const link = byId("link");
  try {
    const answer = await fetch("/state?last=40");
    show(await answer.json());
    link.textContent = "running";
    link.dataset.state = "good";
  } catch {
    link.textContent = "not reachable";
    link.dataset.state = "bad";
  }
}

const parameters = (button) => JSON.parse(button.dataset.with ?? "{}");

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const user = byId("channel").value;
  if (button.dataset.story) call(`/scenarios/${button.dataset.story}`, { user, ...parameters(button) });
  else if (button.dataset.call) {
    const more = "channel" in button.dataset ? { user } : {};
    call(button.dataset.call, { ...parameters(button), ...more }, button.dataset.method);
  }
});

byId("knobs").addEventListener("input", (event) => label(event.target));
byId("knobs").addEventListener("change", (event) => {
  const { part, name, scale } = event.target.dataset;
  call("/faults", { [part]: { [name]: Number(event.target.value) / Number(scale) } });
});

async function watch() {
  await refresh();
  setTimeout(watch, document.hidden ? 5000 : 1000);
}
watch();
