// What the dashboard's pages do beyond htmx. No page needs it for reading.
"use strict";

// The browser's time zone, for figures by day: a cookie, so that the next page has it. A traveller's changes.
(() => {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const named = `tollway-tz=${encodeURIComponent(zone)}`;
  if (zone && !document.cookie.split("; ").includes(named)) {
    document.cookie = `${named}; path=/dashboard; max-age=31536000; samesite=lax`;
  }
})();

// A filter is a form that is sent when one of its choices changes.
document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-auto]");
  if (form) form.requestSubmit();
});

// Copy what stands in an element.
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(source.textContent.trim());
  const said = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = said), 1500);
});

// What cannot be undone asks first.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset?.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});
