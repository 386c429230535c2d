// Asks every data-refresh-seconds how many orders wait and whether trading goes on, while the page is looked at.
(() => {
  "use strict";
  const queue = document.querySelector("[data-queue]");
  if (!queue) return;
  const told = queue.querySelector("[data-counts-told]");
  const banner = document.querySelector("[data-trading-state]");
  let waiting = number(document.querySelector('[data-count="needs_me"]'));
  let asking = false;
  let timer = 0;

  function number(element) {
    return element ? Number(element.textContent) : 0;
  }

  function showCounts(counts) {
    for (const element of document.querySelectorAll("[data-count]")) {
      const count = counts[element.dataset.count];
      if (count !== undefined) element.textContent = String(count);
    }
    const needed = counts.needs_me;
    const title = document.title.replace(/^\(\d+\) /, "");
    document.title = needed ? `(${needed}) ${title}` : title;
    // Said only where it changed: a number that is read out every quarter of a minute is noise.
    if (needed !== waiting) told.textContent = needed === 1 ? "1 order needs you." : `${needed} orders need you.`;
    waiting = needed;
  }

  function showTrading(trading) {
    if (!banner || String(trading.number) === banner.dataset.tradingNumber) return;
    banner.dataset.tradingNumber = String(trading.number);
    banner.dataset.tradingState = trading.state;
    const line = document.createElement("p");
    const strong = document.createElement("strong");
    strong.textContent = trading.title || "Trading is active again.";
    line.append(strong, ` ${trading.text}`);
    banner.replaceChildren(line);
  }

  async function ask() {
    if (asking || document.hidden) return;
    asking = true;
    try {
      const answer = await fetch(queue.dataset.countsUrl, {
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(10000),
      });
      if (answer.redirected || answer.status === 403) {
        told.textContent = "You are logged out: these numbers are old.";
        clearInterval(timer);
        return;
      }
      // A desk that is away for a moment is asked again.
      if (!answer.ok) return;
      const found = await answer.json();
      showCounts(found.counts);
      showTrading(found.trading);
    } catch (error) {
      // So is one that can't be reached; what is no such error is a mistake of this script.
      if (!(error instanceof TypeError || error instanceof DOMException)) throw error;
    } finally {
      asking = false;
    }
  }

  timer = setInterval(ask, Number(queue.dataset.refreshSeconds) * 1000);
  // Whoever comes back to the page need not wait for the next round.
  document.addEventListener("visibilitychange", ask);
})();
