// Fetches the page again every data-refresh seconds and swaps its content; keeps scroll and focus; can be paused.
(() => {
  "use strict";
  const region = document.querySelector("[data-refresh]");
  if (!region) return;
  const seconds = Number(region.dataset.refresh);
  let paused = false;
  let failures = 0;

  const bar = document.createElement("span");
  bar.className = "refresh";
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet";
  const state = document.createElement("span");
  state.setAttribute("role", "status");
  bar.append(button, state);

  function show() {
    button.textContent = paused ? "Resume refreshing" : "Pause refreshing";
    button.setAttribute("aria-pressed", String(paused));
    state.textContent = failures ? "The desk did not answer: these figures are old." : paused ? "Paused." : "";
    // Only where it is not there yet: moving a button takes the focus from it.
    if (!region.contains(bar)) region.querySelector(".as-of").append(bar);
  }

  button.addEventListener("click", () => {
    paused = !paused;
    show();
  });

  async function refresh() {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, signal: AbortSignal.timeout(20000) });
      if (answer.redirected) { location.reload(); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("[data-refresh]");
      const hadFocus = document.activeElement === button;
      const scrolled = [...region.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
      region.replaceChildren(...fresh.childNodes);
      region.querySelectorAll(".scroll").forEach((box, place) => { box.scrollLeft = scrolled[place] || 0; });
      failures = 0;
      show();
      if (hadFocus) button.focus({ preventScroll: true });
    } catch (error) {
      failures += 1;
      show();
    }
  }

  show();
  setInterval(refresh, seconds * 1000);
})();
