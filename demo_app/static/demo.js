// What the pages do beyond htmx: two kinds of action by fetch, focus and announcements, and the live console.

const texts = JSON.parse(document.body.dataset.texts); // what is said in the page's language, by the English
const _ = (english) => texts[english] ?? english;

// A tagged action by fetch. stepup.js makes it step up: to this code it is one request with one answer.
async function act(button) {
  const problem = button.closest("article").querySelector("[role=alert]");
  problem.hidden = true;
  button.disabled = true;
  try {
    const answer = await window.stepup.fetch(button.dataset.url, {
      method: button.dataset.method,
      headers: { Accept: "application/json" },
    });
    const body = await answer.json().catch(() => ({})); // a proxy's own page is none of ours
    if (answer.ok) {
      location.reload();
      return;
    }
    problem.textContent = body.detail ?? _("It may have been done. Look before you try again.");
    problem.hidden = false;
  } catch (error) {
    if (error.name !== "StepUpCancelled") {
      problem.textContent = error.message; // of the library: whether anything can have happened
      problem.hidden = false;
    }
  }
  button.disabled = false;
  button.focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-url]");
  if (!button) return;
  event.preventDefault(); // without this script the form around it is sent
  act(button);
});

// Several actions of one purpose at once: stepup.js makes one question of those that wait together.
const together = document.querySelector("[data-together]");
if (together) {
  const each = `[data-stepup-purpose="${together.dataset.together}"][hx-post]`;
  window.stepup.configure({ batch: true });
  together.hidden = false;
  together.querySelector("button").addEventListener("click", () => {
    for (const button of document.querySelectorAll(each)) button.click();
  });
  document.addEventListener("htmx:after:swap", () => {
    together.hidden = document.querySelectorAll(each).length < 2;
  });
}

// After htmx has put a new card in place: say what happened, and keep the keyboard where it was.
document.addEventListener("htmx:after:swap", () => {
  const news = document.querySelector("main [data-announce]:not([data-announced])");
  if (!news) return;
  news.dataset.announced = "";
  document.getElementById("announcer").textContent = news.textContent;
  if (document.activeElement === document.body) {
    news.closest("article, section")?.querySelector("[tabindex='-1']")?.focus();
  }
});

// A page that opens with news: a status that is there from the start is not read out, one that changes is.
const said = document.querySelector("main > [role=status]");
if (said) setTimeout(() => (document.getElementById("announcer").textContent = said.textContent), 300);

// An export of the log is a download; how far it is, the page asks the server until it is done.
const exports = document.querySelector("[data-progress]");
let followed = 0; // the run of followExports that counts
async function followExports() {
  const run = ++followed;
  const known = exports.firstElementChild.dataset.newest;
  for (let tries = 0; tries < 900 && run === followed; tries += 1) {
    await new Promise((later) => setTimeout(later, 1000));
    const answer = await fetch(exports.dataset.progress).catch(() => null);
    if (!answer?.ok) continue;
    exports.innerHTML = await answer.text(); // drawn by the server, every value escaped
    const { newest, state } = exports.firstElementChild.dataset;
    if (newest === known && state !== "running") continue;
    exports.closest("details").open = true;
    if (state === "running") continue;
    document.getElementById("announcer").textContent = exports.querySelector("li").textContent;
    return;
  }
}
if (exports) {
  document.querySelector("form.export").addEventListener("submit", followExports);
  if (exports.firstElementChild.dataset.state === "running") followExports();
}

// How many alerts wait, on every page of an admin: one stream a browser, whatever the number of its tabs.
const waiting = document.querySelectorAll("[data-alerts]");
const told = new BroadcastChannel("axis-alerts");
function showWaiting(count) {
  for (const badge of waiting) {
    badge.hidden = count === 0;
    badge.firstElementChild.textContent = count;
    badge.dataset.alerts = count;
  }
  const plain = document.title.replace(/^\(\d+\) /, "");
  document.title = count ? `(${count}) ${plain}` : plain;
}
function hearWaiting(url) {
  return new Promise((over) => {
    const stream = new EventSource(url);
    const end = () => {
      stream.close();
      setTimeout(over, 60_000); // signed out, or too many: another tab may try
    };
    stream.addEventListener("alerts", (event) => {
      showWaiting(Number(event.data));
      told.postMessage(Number(event.data));
    });
    stream.addEventListener("over", end);
    stream.onerror = () => stream.readyState === EventSource.CLOSED && end();
  });
}
if (waiting.length) {
  const url = document.querySelector("[data-alerts][data-stream]").dataset.stream;
  told.onmessage = (event) => showWaiting(event.data);
  if (navigator.locks) navigator.locks.request("axis-alerts", () => hearWaiting(url));
  else hearWaiting(url);
}

// The security console.
const live = document.getElementById("live");
if (live) {
  const feed = document.getElementById("feed");
  const state = live.querySelector("[data-live]");
  const stream = new EventSource(live.dataset.stream);
  const clusters = () => new Set([...document.querySelectorAll("[data-cluster]")].map((each) => each.dataset.cluster));
  let known = clusters();
  let pending = 0;
  let alarming = false; // a critical event came: what it is, is announced once it is drawn

  // Who may not see this any more is told so, and what was shown goes.
  const end = (status) => {
    stream.close();
    state.textContent = _("Not live");
    state.classList.remove("done");
    live.querySelector("[data-while-live]").hidden = true;
    const ended = document.getElementById("ended");
    const link = Object.assign(document.createElement("a"), { href: "/sign-in?next=%2Fsecurity", textContent: _("Sign in") });
    const reload = Object.assign(document.createElement("a"), { href: "/security", textContent: _("Reload the page") });
    if (status === 401) ended.replaceChildren(_("You are signed out, and this console shows nothing any more."), " ", link);
    else if (status === 403) ended.replaceChildren(_("You are no admin any more, and this console shows nothing any more."));
    else if (status === 429) ended.replaceChildren(_("Not live: you have it open in too many places. Close one of them."), " ", reload);
    else ended.replaceChildren(_("Not live: the server ended the connection."), " ", reload);
    ended.hidden = false;
    if (status !== 401 && status !== 403) return;
    document.getElementById("panel").replaceChildren();
    feed.replaceChildren();
  };
  const ask = async () => {
    const answer = await fetch(live.dataset.panel).catch(() => null);
    end(answer?.ok ? 429 : answer?.status);
  };

  const redraw = async () => {
    pending = 0;
    const answer = await fetch(live.dataset.panel);
    if (answer.status === 401 || answer.status === 403) end(answer.status);
    if (!answer.ok) return;
    const panel = document.getElementById("panel");
    const drawn = await answer.text();
    if (panel.querySelector(":active, .htmx-request")) {
      pending ||= setTimeout(redraw, 200); // what is pressed, or was sent, stays until it has its answer
      return;
    }
    const place = panel.contains(document.activeElement) ? document.activeElement.id : "";
    const unfolded = panel.querySelector("details").open;
    panel.innerHTML = drawn; // by the server, every value escaped
    panel.querySelector("details").open = unfolded; // nobody who reads or presses is disturbed
    if (place) document.getElementById(place)?.focus();
    const now = clusters();
    if ([...now].some((purpose) => !known.has(purpose))) {
      document.getElementById("alarm").textContent = panel.querySelector("[data-cluster]").firstChild.textContent;
    }
    known = now;
    const alert = alarming && panel.querySelector("article.critical");
    if (alert) {
      const words = [alert.querySelector(".badge"), alert.querySelector("h3")].map((each) => each.textContent);
      document.getElementById("alarm").textContent = words.join(": ");
      alarming = false;
    }
    window.htmx?.process(panel);
  };
  const show = (event) => {
    document.getElementById("quiet")?.remove();
    feed.insertAdjacentHTML("afterbegin", event.data); // drawn by the server, every value escaped
    while (feed.children.length > 50) feed.lastElementChild.remove();
    if (event.type === "critical") {
      alarming = true;
      clearTimeout(pending); // an alert waits for nothing
      pending = setTimeout(redraw, 0);
    }
    pending ||= setTimeout(redraw, 200);
  };
  for (const severity of ["info", "warning", "critical"]) stream.addEventListener(severity, show);
  stream.onopen = () => {
    state.textContent = _("Live");
    state.classList.add("done");
  };
  stream.addEventListener("over", (event) => end(Number(event.data)));
  stream.onerror = () => {
    state.textContent = _("Reconnecting");
    state.classList.remove("done");
    if (stream.readyState === EventSource.CLOSED) ask(); // refused for good; why, an answer with a status says
  };
  addEventListener("pagehide", () => stream.close());
}
