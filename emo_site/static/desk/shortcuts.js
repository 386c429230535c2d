// Single keys of the desk: j k Enter x a r on the list, a r on an order's page, ? for help. Everything works without.
(() => {
  "use strict";
  const dialog = document.getElementById("shortcuts");
  if (!dialog) return;
  const told = document.querySelector("[data-shortcuts-told]");
  const form = document.getElementById("changelist-form");
  const rows = [...document.querySelectorAll("#result_list tbody tr")];
  const KEPT = "desk-shortcuts";
  let current = null;

  function say(words) {
    told.textContent = "";
    // A text that stays the same is not read out again.
    setTimeout(() => { told.textContent = words; }, 50);
  }

  function linkOf(row) {
    return row.querySelector("th a");
  }

  function boxOf(row) {
    return row.querySelector("input.action-select");
  }

  function highlight(row) {
    if (current) current.removeAttribute("aria-current");
    current = row;
    if (current) current.setAttribute("aria-current", "true");
  }

  function move(step) {
    if (!rows.length) return;
    const place = rows.indexOf(current);
    const next = place < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(place + step, 0), rows.length - 1);
    // The focus moves really: what is read out, Enter and the tab key go on from here.
    linkOf(rows[next]).focus();
    rows[next].scrollIntoView({ block: "nearest" });
  }

  function select() {
    const box = current && boxOf(current);
    if (box) box.click();
  }

  function decide(name, verb) {
    const action = form.querySelector("select[name=action]");
    const offered = action && [...action.options].some((option) => option.value === name);
    if (!offered) return say(`You may not ${verb} orders.`);
    const chosen = rows.some((row) => boxOf(row)?.checked);
    if (!chosen) {
      if (!current) return say("No order is selected: j goes to the first one.");
      boxOf(current).click();
    }
    action.value = name;
    // The button is named as if it had been pressed: Django's list wants to know which one it was.
    return form.requestSubmit(form.querySelector("button[name=index]"));
  }

  function goTo(decision, verb) {
    const found = document.querySelector(`form[data-decision="${decision}"]`);
    if (!found) return say(`You can't ${verb} this order.`);
    const field = found.querySelector("textarea, button");
    field.focus();
    return found.scrollIntoView({ block: "nearest" });
  }

  const onList = {
    j: () => move(1),
    k: () => move(-1),
    x: select,
    a: () => decide("approve_selected", "approve"),
    r: () => decide("reject_selected", "reject"),
  };
  const onOrder = { a: () => goTo("approve", "approve"), r: () => goTo("reject", "reject") };
  const keys = { ...(form ? onList : onOrder), "?": () => dialog.showModal() };

  function isTyping(target) {
    return target.isContentEditable || target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (dialog.open || isTyping(event.target) || !Object.hasOwn(keys, event.key)) return;
    if (event.key !== "?" && !isOn()) return;
    event.preventDefault();
    keys[event.key]();
  });

  for (const row of rows) {
    row.addEventListener("focusin", () => highlight(row));
  }

  // Single keys can be in the way of dictation and of other tools: whoever wants, turns them off (WCAG 2.1.4).
  const switched = dialog.querySelector("[data-shortcuts-on]");
  function isOn() {
    return switched.checked;
  }
  try {
    switched.checked = localStorage.getItem(KEPT) !== "off";
  } catch {
    // A browser that keeps nothing has them on.
  }
  switched.addEventListener("change", () => {
    try {
      localStorage.setItem(KEPT, switched.checked ? "on" : "off");
    } catch {
      say("This browser keeps no settings: it holds for this page.");
    }
  });

  const opener = document.querySelector("[data-shortcuts]");
  if (opener) {
    opener.hidden = false;
    opener.addEventListener("click", () => dialog.showModal());
  }
})();
