// Open the pages of links with data-infisical-azure-opens in the page's <dialog>.
// Without this file the links and forms work as the pages that they are.

const dialog = document.querySelector("dialog[data-infisical-azure-dialog]");
const place = dialog?.querySelector("[data-infisical-azure-place]");
const firstToRead = "[data-infisical-azure-read-first]";
let opener;

async function load(url, options = {}) {
  const response = await fetch(url, { credentials: "same-origin", ...options });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { response, step: page.querySelector("[data-infisical-azure-step]") };
}

function show(step) {
  place.replaceChildren(document.adoptNode(step));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  place.querySelector(`${firstToRead}, input:not([type=hidden]), a, button`)?.focus();
}

async function open(link) {
  if (link.ariaBusy) return;
  link.ariaBusy = "true";
  try {
    const { response, step } = await load(link.href);
    if (response.ok && step) {
      if (!dialog.open) opener = link;
      return show(step);
    }
  } catch {
    // Offline or blocked: the browser's own page says it better.
  } finally {
    link.ariaBusy = null;
  }
  location.assign(link.href);
}

function setBusy(form, busy) {
  form.ariaBusy = busy ? "true" : null;
  form.querySelector("button:not([type=button])").disabled = busy;
}

async function submit(form) {
  setBusy(form, true);
  try {
    // Not followed here, so that the page we go to is the first to show the site's messages.
    const options = { method: "POST", body: new FormData(form), redirect: "manual" };
    const { response, step } = await load(form.action, options);
    const onward = step?.querySelector("a[data-infisical-azure-continue]");
    if (onward) return location.assign(onward.href);
    if (response.type === "opaqueredirect") {
      return location.assign(form.dataset.infisicalAzureThen);
    }
    // A refusal too: to send the form again would do again what may have been done.
    if (step) return show(step);
  } catch {
    // Fall through: send the form as if this file were not there.
  }
  form.submit();
}

document.querySelector(firstToRead)?.focus();

if (dialog && window.HTMLDialogElement) {
  document.addEventListener("click", (event) => {
    if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    if (event.target.closest("[data-infisical-azure-closes]") && dialog.open) {
      event.preventDefault();
      return dialog.close();
    }
    const link = event.target.closest("a[data-infisical-azure-opens]");
    if (!link) return;
    event.preventDefault();
    open(link);
  });
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(event.target);
  });
  // What was typed is gone with the dialog; the page below is as it was.
  dialog.addEventListener("close", () => {
    place.replaceChildren();
    opener?.focus();
  });
  // The browser's Back button may bring the page back as it was left.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) place.querySelectorAll("form").forEach((form) => setBusy(form, false));
  });
}
