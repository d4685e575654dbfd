// Finds a citizen's host in the citizen's own browser, for a page of a partner's that knows no host.
//
//   <form data-connect action="https://partner.example/start">
//     <label>Your WebID, or your host <input data-twin></label>
//     <button>Connect</button>
//     <p role="status" data-said data-looking="…" data-not-found="…"></p>
//   </form>
//
// The partner's start address gets `iss`, the host's issuer, and nothing else: the WebID stays in the browser. Copy this
// file to your own site; docs/partners.md tells what to do with `iss`.
(() => {
  "use strict";

  const ISSUER = "http://www.w3.org/ns/solid/terms#oidcIssuer";
  const STORAGE = "http://www.w3.org/ns/pim/space#storage";
  const TYPE = "/vocab/rar#pod-append";

  const get = async (address, accept) => {
    const answer = await fetch(address, {
      headers: { Accept: accept }, credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store",
    });
    if (!answer.ok) throw new Error(`${address} answered ${answer.status}`);
    return answer;
  };

  const allowed = (text) => {
    const address = new URL(text);
    const loopback = ["localhost", "127.0.0.1", "[::1]"].includes(address.hostname);
    if (address.protocol !== "https:" && !(address.protocol === "http:" && loopback)) throw new Error("not https");
    if (address.username || address.password) throw new Error("no user names");
    return address;
  };

  // What a WebID's document says of it: JSON-LD as any Solid server writes it (expanded, or with whole IRIs as keys).
  const named = (document, webid, property) => {
    const nodes = [document].flat().flatMap((each) => each["@graph"] ?? each);
    return nodes
      .filter((node) => new URL(node["@id"] ?? "", webid).href === webid)
      .flatMap((node) => node[property] ?? [])
      .map((value) => (typeof value === "string" ? value : value["@id"]))
      .filter(Boolean);
  };

  // An issuer that takes questions of consent, or nothing; its metadata must be its own (RFC 8414, section 3.3).
  const asks = async (issuer) => {
    try {
      allowed(issuer);
      const told = await (await get(`${issuer}/.well-known/oauth-authorization-server`, "application/json")).json();
      const types = told.authorization_details_types_supported ?? [];
      return told.issuer === issuer && types.includes(issuer + TYPE) ? issuer : undefined;
    } catch {
      return undefined;
    }
  };

  const first = async (issuers) => {
    for (const issuer of issuers) if (await asks(issuer)) return issuer;
    return undefined;
  };

  // Who answers for the place where the pod lies (RFC 9728), which need not be who signs its citizen in.
  const keeper = async (storage) => {
    try {
      const address = `${allowed(storage).origin}/.well-known/oauth-protected-resource`;
      return (await (await get(address, "application/json")).json()).authorization_servers ?? [];
    } catch {
      return [];
    }
  };

  const find = async (typed) => {
    const text = typed.trim().replace(/^(?!https?:\/\/)/, "https://");
    const address = allowed(text);
    if (address.pathname === "/" && !address.hash) return first([address.origin]);
    const webid = address.href;
    const document = await (await get(webid.split("#")[0], "application/ld+json")).json();
    const keepers = (await Promise.all(named(document, webid, STORAGE).map(keeper))).flat();
    return first([...new Set([...keepers, ...named(document, webid, ISSUER)])]);
  };

  for (const form of document.querySelectorAll("form[data-connect]")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const said = form.querySelector("[data-said]");
      said.textContent = said.dataset.looking;
      const issuer = await find(form.querySelector("[data-twin]").value).catch(() => undefined);
      if (!issuer) {
        said.textContent = said.dataset.notFound;
        return;
      }
      const start = new URL(form.action);
      start.searchParams.set("iss", issuer);
      location.assign(start);
    });
  }
})();
