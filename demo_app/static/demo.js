// What the pages do beyond htmx: two kinds of action by fetch, focus and announcements, and the live console.

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
    problem.textContent = body.detail ?? "It may have been done. Look before you try again.";
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
const exports = document.getElementById("exports");
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
    document.getElementById("announcer").textContent = `Export ${state}: ${exports.querySelector("li").textContent}`;
    return;
  }
}
if (exports) {
  document.querySelector("form.export").addEventListener("submit", followExports);
  if (exports.firstElementChild.dataset.state === "running") followExports();
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

  const redraw = async () => {
    pending = 0;
    const answer = await fetch(live.dataset.panel);
    if (!answer.ok) return;
    const panel = document.getElementById("panel");
    const place = panel.contains(document.activeElement) ? document.activeElement.id : "";
    const unfolded = panel.querySelector("details").open;
    panel.innerHTML = await answer.text(); // drawn by the server, every value escaped
    panel.querySelector("details").open = unfolded; // nobody who reads or presses is disturbed
    if (place) document.getElementById(place)?.focus();
    const now = clusters();
    if ([...now].some((purpose) => !known.has(purpose))) {
      document.getElementById("alarm").textContent = panel.querySelector("[data-cluster]").firstChild.textContent;
    }
    known = now;
    window.htmx?.process(panel);
  };
  const show = (event) => {
    document.getElementById("quiet")?.remove();
    feed.insertAdjacentHTML("afterbegin", event.data); // drawn by the server, every value escaped
    while (feed.children.length > 50) feed.lastElementChild.remove();
    if (event.type === "critical") {
      document.getElementById("alarm").textContent =
        "Critical: a token was presented again. See the replay alerts.";
      clearTimeout(pending); // an alert waits for nothing
      pending = setTimeout(redraw, 0);
    }
    pending ||= setTimeout(redraw, 200);
  };
  for (const severity of ["info", "warning", "critical"]) stream.addEventListener(severity, show);
  stream.onopen = () => {
    state.textContent = "Live";
    state.classList.add("done");
  };
  stream.onerror = () => {
    // a refusal (signed out, no admin, too many consoles) ends the stream for good
    state.textContent = stream.readyState === EventSource.CLOSED ? "Not live: reload the page" : "Reconnecting";
    state.classList.remove("done");
  };
  addEventListener("pagehide", () => stream.close());
}
