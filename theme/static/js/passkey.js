// Asks the browser for a passkey, or to make one, and sends what it answers. Nothing else needs it.
"use strict";
(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form) return;
  const said = form.querySelector("[role=status]");
  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  const words = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, "-")
      .replace(/\//g, "_")
      .replace(/=+$/, "");
  const known = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
  const why = (error) => {
    if (/^[\d.]+$|^\[/.test(location.hostname)) {
      return "A passkey belongs to a name, and this address is a number: open this page by the site's name (on your own machine: localhost).";
    }
    if (error.name === "InvalidStateError") return "This device has a passkey for this site already.";
    if (error.name === "NotAllowedError") return "It was not done, or took too long. Try once more.";
    return "This browser could not do it: try another one, or another way.";
  };
  const create = async (options) => {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        user: { ...options.user, id: bytes(options.user.id) },
        excludeCredentials: known(options.excludeCredentials),
      },
    });
    return {
      id: made.id,
      rawId: words(made.rawId),
      type: made.type,
      response: {
        attestationObject: words(made.response.attestationObject),
        clientDataJSON: words(made.response.clientDataJSON),
        transports: made.response.getTransports?.() ?? [],
      },
    };
  };
  const get = async (options) => {
    const found = await navigator.credentials.get({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        allowCredentials: known(options.allowCredentials),
      },
    });
    const { authenticatorData, clientDataJSON, signature, userHandle } = found.response;
    return {
      id: found.id,
      rawId: words(found.rawId),
      type: found.type,
      response: {
        authenticatorData: words(authenticatorData),
        clientDataJSON: words(clientDataJSON),
        signature: words(signature),
        userHandle: userHandle ? words(userHandle) : null,
      },
    };
  };
  (async () => {
    try {
      const options = JSON.parse(form.dataset.options);
      const answer = await (form.dataset.passkey === "create" ? create : get)(options);
      form.elements.credential.value = JSON.stringify(answer);
      form.submit();
    } catch (error) {
      said.textContent = why(error);
      said.className = "error";
      said.setAttribute("role", "alert");
    }
  })();
})();
