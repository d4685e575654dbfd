// An app that tries everything, whatever its citizen said.
import { Session } from "@inrupt/solid-client-authn-node";
import { ask, say, told } from "./speak.mjs";

const session = new Session({ keepAlive: false });
const { came_back: cameBack } = await new Promise((resolve) => {
  session.login({
    oidcIssuer: told.issuer, redirectUrl: told.redirect, clientName: "Nysgjerrig", tokenType: "DPoP",
    handleRedirect: (url) => resolve(ask({ go_to: url })),
  });
});
try {
  await session.handleIncomingRedirect(cameBack);
} catch {
  // told no: the library throws what the authorization server answered
}
const folder = `${told.pod}private/`;
async function status(place, method, body, type = "text/plain") {
  const headers = method === "POST" ? { Slug: "av-en-app.txt", "Content-Type": type } : { "Content-Type": type };
  return (await session.fetch(place, { method, ...(body ? { body, headers } : {}) })).status;
}
const rules = `<#a> a <http://www.w3.org/ns/auth/acl#Authorization> .`;
say({ found: {
  signed_in: session.info.isLoggedIn,
  read: await status(folder, "GET"),
  add: await status(folder, "POST", "hei"),
  change: await status(`${told.pod}private/mine.txt`, "PUT", "hei"),
  rules: await status(`${folder}.acl`, "PUT", rules, "text/turtle"),
} });
process.exit(0);
