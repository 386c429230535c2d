// Asks every data-refresh seconds whether there is a newer version of the region, and swaps it in. What the reader
// does stays: scroll, focus, what is unfolded. The desk answers 304 while nothing has changed. Can be paused, which is
// remembered; who asked their system for less motion begins paused.
(() => {
  "use strict";
  const region = document.querySelector("[data-refresh]");
  if (!region) return;
  const KEY = "desk.refresh.paused";
  const FOCUSABLE = "a[href], button, summary, [tabindex]";
  let paused = remembered();
  let failures = 0;
  let asking = false;

  const bar = document.createElement("span");
  bar.className = "refresh";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  const state = document.createElement("span");
  state.setAttribute("role", "status");
  bar.append(button, state);

  function remembered() {
    const said = storage((store) => store.getItem(KEY));
    return said ? said === "yes" : matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  function storage(use) {
    try {
      return use(localStorage);
    } catch {
      // A browser that keeps nothing: paused or not is this page's own affair then.
      return null;
    }
  }

  function show() {
    button.textContent = paused ? "Resume refreshing" : "Pause refreshing";
    const text = failures ? "The desk did not answer: these figures are old." : paused ? "Paused." : "";
    if (state.textContent !== text) state.textContent = text;
    // Only where it is not there yet: moving a button takes the focus from it.
    if (!region.contains(bar)) region.querySelector(".refresh.to-come").replaceWith(bar);
  }

  function swap(fresh) {
    const focused = region.contains(document.activeElement) ? nameOf(document.activeElement) : null;
    const scrolled = new Map(boxes().map((box) => [labelOf(box), box.scrollLeft]));
    const unfolded = new Set([...region.querySelectorAll("details[open] > summary")].map(nameOf));
    const seen = whatIsRead();
    region.replaceChildren(...fresh.childNodes);
    region.dataset.version = fresh.dataset.version;
    show();
    for (const summary of region.querySelectorAll("summary")) summary.parentElement.open = unfolded.has(nameOf(summary));
    // By what they are called, not by their places: tables come and go.
    for (const box of boxes()) box.scrollLeft = scrolled.get(labelOf(box)) || 0;
    if (focused) {
      [...region.querySelectorAll(FOCUSABLE)].find((each) => nameOf(each) === focused)?.focus({ preventScroll: true });
    }
    const again = seen.map((was) => [was, landmarks().find((each) => each.name === was.name)]).find(([, is]) => is);
    // What is read stays where it is, also where something above it has grown.
    if (again) scrollBy({ top: again[1].top - again[0].top, behavior: "instant" });
  }

  function boxes() {
    return [...region.querySelectorAll(".scroll")];
  }

  function labelOf(box) {
    return box.getAttribute("aria-labelledby") || box.getAttribute("aria-label");
  }

  // Headings and the heads of rows, each with its name and its distance from the window's top.
  function landmarks() {
    return [...region.querySelectorAll("h2, th[scope=row]")].map((element) => ({
      element,
      name: nameOf(element),
      top: element.getBoundingClientRect().top,
    }));
  }

  // The landmarks in sight, the row with the focus first: a row between it and the first may grow as well.
  function whatIsRead() {
    const inSight = landmarks().filter((each) => each.top >= 0 && each.top < innerHeight);
    const row = document.activeElement.closest("tr");
    const ofFocus = inSight.filter((each) => row?.contains(each.element));
    return [...ofFocus, ...inSight];
  }

  // Rows come and go; the section and the row's own heading say which one it was.
  function nameOf(element) {
    const section = element.closest("section")?.getAttribute("aria-labelledby") ?? "";
    const row = element.closest("tr")?.querySelector("th[scope=row]")?.textContent ?? "";
    return `${section} ${row} ${element.textContent}`;
  }

  async function refresh() {
    if (paused || asking || document.hidden) return;
    asking = true;
    try {
      const answer = await fetch(location.href, {
        headers: { Accept: "text/html", "If-None-Match": region.dataset.version },
        signal: AbortSignal.timeout(20000),
      });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok && answer.status !== 304) throw new DOMException(String(answer.status), "NetworkError");
      failures = 0;
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        swap(page.querySelector("[data-refresh]"));
      }
    } catch (error) {
      // What is neither an answer that failed to come nor a bad one is a mistake of this script.
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
      failures += 1;
    } finally {
      asking = false;
    }
    show();
  }

  button.addEventListener("click", () => {
    paused = !paused;
    storage((store) => store.setItem(KEY, paused ? "yes" : "no"));
    show();
    refresh();
  });

  show();
  setInterval(refresh, Number(region.dataset.refresh) * 1000);
  document.addEventListener("visibilitychange", refresh);
})();
