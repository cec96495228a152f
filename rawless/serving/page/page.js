"use strict";

const access = document.getElementById("access");
const message = document.getElementById("message");

async function open(token) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  let response;
  try {
    response = await fetch("openapi.json", { headers, credentials: "omit", cache: "no-store" });
  } catch {
    message.textContent = "The service does not answer.";
    return;
  }
  if (response.status === 401) {
    access.hidden = false;
    message.textContent = token ? "The service does not know this token." : "";
    return;
  }
  if (!response.ok) {
    message.textContent = (await response.json()).detail;
    return;
  }
  access.hidden = true;
  message.textContent = "";
  show(await response.json(), token);
}

function show(spec, token) {
  const page = SwaggerUIBundle({
    spec,
    domNode: document.getElementById("service"),
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    validatorUrl: null,
    supportedSubmitMethods: ["get", "post"],
    onComplete: () => token && page.preauthorizeApiKey("bearer", token),
  });
}

access.addEventListener("submit", (event) => {
  event.preventDefault();
  open(document.getElementById("token").value);
});
open("");
