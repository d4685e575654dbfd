// A citizen's own script of @inrupt's libraries: client credentials, no browser.
import { getSolidDataset, getThing, getStringNoLocale, overwriteFile, getFile, deleteFile } from "@inrupt/solid-client";
import { Session } from "@inrupt/solid-client-authn-node";
import { refusal, say, told } from "./speak.mjs";

const session = new Session({ keepAlive: false });
await session.login({
  oidcIssuer: told.issuer, clientId: told.client_id, clientSecret: told.client_secret, tokenType: "DPoP",
});
const { fetch } = session;
const place = `${told.pod}private/fra-skript.txt`;
const found = { signed_in: session.info.isLoggedIn, webid: session.info.webId };
found.name = getStringNoLocale(
  getThing(await getSolidDataset(session.info.webId, { fetch }), session.info.webId), "http://xmlns.com/foaf/0.1/name");
await overwriteFile(place, new Blob(["første"], { type: "text/plain" }), { fetch });
found.text = await (await getFile(place, { fetch })).text();
found.stranger = await refusal(getFile(place));
found.elsewhere = await refusal(getFile(`${told.other_pod}private/`, { fetch }));
await deleteFile(place, { fetch });
found.gone = await refusal(getFile(place, { fetch }));
const wrong = new Session({ keepAlive: false });
try {
  await wrong.login({ oidcIssuer: told.issuer, clientId: told.client_id, clientSecret: "feil", tokenType: "DPoP" });
} catch (error) {
  found.wrong_secret = String(error.message ?? error);
}
found.wrong_signed_in = wrong.info.isLoggedIn;
say({ found });
process.exit(0);
