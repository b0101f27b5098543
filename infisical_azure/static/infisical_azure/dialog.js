// Open the pages of links with data-infisical-azure-opens in the page's <dialog>.
// Without this file the links and forms work as the pages that they are.

const dialog = document.querySelector("dialog[data-infisical-azure-dialog]");

async function load(url, options = {}) {
  const response = await fetch(url, { credentials: "same-origin", ...options });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return { response, step: page.querySelector("[data-infisical-azure-step]") };
}

function show(step) {
  dialog.replaceChildren(document.adoptNode(step));
  if (!dialog.open) dialog.showModal();
  const first = "[data-infisical-azure-errors], input:not([type=hidden]), a, button";
  dialog.querySelector(first)?.focus();
}

async function open(link) {
  try {
    const { response, step } = await load(link.href);
    if (response.ok && step) return show(step);
  } catch {
    // Offline or blocked: the browser's own page says it better.
  }
  location.assign(link.href);
}

async function submit(form) {
  const button = form.querySelector("button:not([type=button])");
  button.disabled = true;
  form.setAttribute("aria-busy", "true");
  try {
    const { response, step } = await load(form.action, { method: "POST", body: new FormData(form) });
    const onward = step?.querySelector("a[data-infisical-azure-continue]");
    if (onward) return location.assign(onward.href);
    if (response.redirected) return location.assign(response.url);
    if (response.ok && step) return show(step);
  } catch {
    // Fall through: send the form as if this file were not there.
  }
  form.submit();
}

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
  dialog.addEventListener("close", () => dialog.replaceChildren());
}
