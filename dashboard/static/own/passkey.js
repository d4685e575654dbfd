// Passkeys: asks the browser for one, or to confirm one, and sends what it answers. All else on these pages is plain forms.
(() => {
  "use strict";
  const part = document.querySelector("[data-passkeys]");
  if (!part || !window.PublicKeyCredential || !navigator.credentials) return;
  const messages = JSON.parse(part.dataset.messages);
  const said = part.querySelector("[data-passkey-problem]");

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (each) => each.charCodeAt(0));
  const words = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const say = (text) => {
    said.textContent = text;
    said.hidden = !text;
  };

  class Refused extends Error {
    constructor(problem) {
      super(problem.detail || problem.title || "");
      this.slug = String(problem.type || "").split("/").pop();
      this.problem = problem;
    }
  }

  const ask = async (address, body, type) => {
    const answer = await fetch(address, {
      method: "POST",
      headers: { Accept: "application/json, application/problem+json", "X-CSRF-Token": part.dataset.csrf, "Content-Type": type },
      body,
    });
    const members = await answer.json();
    if (!answer.ok) throw new Refused(members);
    return members;
  };
  const askForm = (address, fields = {}) =>
    ask(address, new URLSearchParams(fields), "application/x-www-form-urlencoded");
  const askJson = (address, members) => ask(address, JSON.stringify(members), "application/json");

  const readable = (options) => {
    const read = { ...options, challenge: bytes(options.challenge) };
    if (options.user) read.user = { ...options.user, id: bytes(options.user.id) };
    for (const list of ["allowCredentials", "excludeCredentials"])
      if (options[list]) read[list] = options[list].map((each) => ({ ...each, id: bytes(each.id) }));
    const first = options.extensions?.prf?.eval?.first;
    if (first) read.extensions = { prf: { eval: { first: bytes(first) } } };
    return read;
  };

  const told = (credential) => {
    const answer = { id: credential.id, rawId: words(credential.rawId), type: credential.type, response: {} };
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"])
      if (credential.response[name]) answer.response[name] = words(credential.response[name]);
    const secret = credential.getClientExtensionResults().prf?.results?.first;
    if (secret) answer.prf = words(secret);
    return answer;
  };

  const confirm = async (options) => told(await navigator.credentials.get({ publicKey: readable(options) }));

  const attempt = (button, action) => async (event) => {
    event.preventDefault();
    say("");
    button.disabled = true;
    try {
      window.location.assign((await action()).next);
    } catch (error) {
      if (error instanceof Refused) say(messages[error.slug] || error.message);
      else say(messages["passkey-none"]); // the citizen closed the browser's own question, or it took too long
      button.disabled = false;
    }
  };

  const signIn = async () => {
    const next = part.dataset.next;
    try {
      return await askJson("/-/sign-in/passkey", { answer: await confirm(await askForm("/-/sign-in/passkey/options")), next });
    } catch (error) {
      if (!(error instanceof Refused) || error.slug !== "passkey-opens-not" || !error.problem.has_slot) throw error;
      // The pod is locked, and this passkey's own secret opens it: the browser is asked once more, for that.
      const answer = await confirm(await askForm("/-/sign-in/passkey/options", { passkey: error.problem.passkey }));
      return askJson("/-/sign-in/passkey", { answer, next });
    }
  };

  const letOpen = async (passkey) => {
    const answer = await confirm(await askForm(`/-/security/passkeys/${passkey}/options`));
    if (!answer.prf) throw new Refused({ type: "passkey-without-secret" });
    return askJson("/-/security/passkeys/open", { answer });
  };

  const button = part.querySelector("[data-passkey-sign-in]");
  if (button) {
    part.hidden = false;
    button.addEventListener("click", attempt(button, signIn));
  }
  for (const each of part.querySelectorAll("[data-passkey-open]")) {
    each.hidden = false;
    each.addEventListener("click", attempt(each, () => letOpen(each.dataset.passkeyOpen)));
  }
  const form = part.querySelector("[data-passkey-add]");
  if (form) {
    form.hidden = false;
    part.querySelector("[data-passkey-unsupported]").hidden = true;
    form.addEventListener(
      "submit",
      attempt(form.querySelector("button"), async () => {
        const options = await askForm("/-/security/passkeys/options");
        const credential = await navigator.credentials.create({ publicKey: readable(options) });
        return askJson("/-/security/passkeys", { answer: told(credential), name: form.elements.namedItem("name").value });
      }),
    );
  }
})();
