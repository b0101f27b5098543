// Copy the field that a button with data-infisical-azure-copies names.
// Without this file the buttons stay hidden, and the field can be selected.

for (const button of document.querySelectorAll("button[data-infisical-azure-copies]")) {
  const field = document.getElementById(button.dataset.infisicalAzureCopies);
  button.hidden = !navigator.clipboard;
  button.ariaLive = "polite"; // The new words are said, too.
  button.addEventListener("click", async () => {
    field.select();
    await navigator.clipboard.writeText(field.value);
    button.textContent = button.dataset.infisicalAzureCopied;
  });
}
