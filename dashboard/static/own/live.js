// Keeps a page's moving parts fresh: an event stream where it may, polling where the stream fails.
// The stream only says that something is new; the parts themselves come from the server as HTML, at most once a second.
(() => {
  "use strict";
  const { liveTicket, liveParts, csrf, wordsDirect, wordsPolling, wordsWaiting } = document.body.dataset;
  if (!liveTicket || !liveParts) return;

  const POLL_MS = 15000;
  const SHORTEST_MS = 1000;
  const SPEAK_MS = 60000;
  let source = null;
  let lastSeq = null;
  let lastFetch = 0;
  let lastSpoken = 0;
  let pending = 0;
  let poll = 0;
  let state = "waiting";
  let waitMs = 1000;

  // Times on the page are the city's, which may run faster than the reader's clock, so they come from the server.
  const show = (next) => {
    state = next;
    const words = { direct: wordsDirect, polling: wordsPolling, waiting: wordsWaiting }[state];
    for (const tag of document.querySelectorAll("[data-live]")) {
      tag.dataset.state = state;
      // a part without a time of its own says only how it is kept fresh
      tag.textContent = tag.dataset.at ? words.replace("{time}", tag.dataset.at) : words.split(" · ")[0];
    }
  };

  const speak = (text) => {
    const now = Date.now();
    if (!text || now - lastSpoken < SPEAK_MS) return;
    lastSpoken = now;
    document.getElementById("spoken").textContent = text;
  };

  const replace = (old, fresh) => {
    const comparable = (element) => {
      const copy = element.cloneNode(true);
      for (const tag of copy.querySelectorAll("[data-live]")) tag.replaceWith("live");
      for (const item of copy.querySelectorAll(".new")) item.classList.remove("new");
      for (const item of copy.querySelectorAll("[class='']")) item.removeAttribute("class");
      for (const item of copy.querySelectorAll("[data-htmx-powered]")) item.removeAttribute("data-htmx-powered");
      if (copy.open) copy.removeAttribute("open");
      return copy.outerHTML;
    };
    if (comparable(old) === comparable(fresh)) return false;
    if (old.querySelector(":active, .htmx-request")) {
      // somebody is pressing something in it, or waits for its answer: leave it in place for a second
      soon();
      return false;
    }
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const address = focused && (focused.getAttribute("href") || focused.getAttribute("name"));
    const place = [...old.querySelectorAll("a, button")].indexOf(focused);
    const seen = new Set([...old.querySelectorAll("[data-event]")].map((item) => item.dataset.event));
    if (old.open) fresh.setAttribute("open", "");
    if (seen.size) {
      for (const item of fresh.querySelectorAll("[data-event]")) {
        if (!seen.has(item.dataset.event)) item.classList.add("new");
      }
    }
    old.replaceWith(fresh);
    if (window.htmx) window.htmx.process(fresh);
    if (address) {
      // A link may lead to a newer event than the one in its place did: whoever stood there stands there still.
      const links = [...fresh.querySelectorAll("a, button")];
      const same = (element) => element.getAttribute("href") === address || element.getAttribute("name") === address;
      (links.find(same) ?? links[place])?.focus({ preventScroll: true });
    }
    return true;
  };

  const fetchParts = async () => {
    lastFetch = Date.now();
    try {
      const answer = await fetch(liveParts, { credentials: "same-origin", headers: { Accept: "text/html" } });
      if (answer.redirected || answer.status === 401) {
        window.location.reload();
        return;
      }
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      let changed = false;
      for (const part of fresh.querySelectorAll("[data-part]")) {
        const old = document.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
        if (old) changed = replace(old, document.importNode(part, true)) || changed;
      }
      if (changed) speak(fresh.querySelector("[data-say]")?.textContent);
      show(source && source.readyState === EventSource.OPEN ? "direct" : "polling");
    } catch {
      show("waiting");
    }
  };

  const soon = () => {
    if (pending) return;
    const wait = Math.max(0, lastFetch + SHORTEST_MS - Date.now());
    pending = window.setTimeout(() => {
      pending = 0;
      if (document.hidden) return;
      fetchParts();
    }, wait);
  };

  const keepPolling = (on) => {
    // attempts to open the stream come more often than polls: they must not begin the wait anew
    if (on && poll) return;
    window.clearInterval(poll);
    poll = on ? window.setInterval(() => document.hidden || fetchParts(), POLL_MS) : 0;
  };

  const again = () => {
    source?.close();
    source = null;
    keepPolling(true);
    show("polling");
    window.setTimeout(connect, waitMs);
    waitMs = Math.min(waitMs * 2, 60000);
  };

  const connect = async () => {
    if (document.hidden) return;
    let url;
    try {
      const answer = await fetch(liveTicket, {
        method: "POST",
        credentials: "same-origin",
        headers: { "X-CSRF-Token": csrf, Accept: "application/json" },
      });
      if (!answer.ok) throw new Error(String(answer.status));
      url = (await answer.json()).url;
    } catch {
      again();
      return;
    }
    // A ticket opens one stream once: a lost stream is opened anew with a new ticket, from the last event seen.
    source = new EventSource(lastSeq === null ? url : `${url}&after=${lastSeq}`);
    source.addEventListener("open", () => {
      waitMs = 1000;
      keepPolling(false);
      show("direct");
      soon();
    });
    source.addEventListener("twin", (event) => {
      lastSeq = event.lastEventId || lastSeq;
      soon();
    });
    source.addEventListener("figures", soon);
    source.addEventListener("renew", () => {
      source.close();
      connect();
    });
    source.addEventListener("ended", () => window.location.reload());
    source.addEventListener("error", again);
  };

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    soon();
    if (!source || source.readyState === EventSource.CLOSED) connect();
  });

  // The demo's buttons without a page change: the answer shows in the parts.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || !("demo" in form.dataset) || form.action.includes("/ask")) return;
    const partner = new URL(form.action).searchParams.get("partner");
    const button = form.querySelector("button");
    event.preventDefault();
    button.disabled = true;
    fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)), credentials: "same-origin" })
      .then((answer) => {
        const to = new URL(answer.url).searchParams.get("partner");
        if (!answer.ok || (to && to !== partner)) window.location.assign(answer.url);
        else fetchParts();
      })
      .finally(() => {
        button.disabled = false;
      });
  });

  connect();
})();
