// django-allauth's script speaks to the authenticator. Until it listens a press would do nothing; what goes wrong it
// writes into the console only.
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("button[data-passkey]")) button.disabled = false;
});

document.addEventListener("allauth.error", () => {
  const told = document.getElementById("passkey-failed");
  if (told) told.hidden = false;
});
