// An app of @inrupt's libraries: signs a citizen in by the authorization code flow, and works in the pod.
import {
  createContainerAt, createSolidDataset, createThing, buildThing, deleteContainer, deleteFile, deleteSolidDataset,
  getContainedResourceUrlAll, getFile, getPodUrlAll, getResourceInfo, getSolidDataset, getStringNoLocale, getThing,
  getThingAll, getUrl, getUrlAll, overwriteFile, saveFileInContainer, saveSolidDatasetAt, saveSolidDatasetInContainer,
  setThing, universalAccess,
} from "@inrupt/solid-client";
import { Session } from "@inrupt/solid-client-authn-node";
import { ask, refusal, say, told } from "./speak.mjs";

const FOAF_NAME = "http://xmlns.com/foaf/0.1/name";
const TEXT = "http://schema.org/text";

const session = new Session({ keepAlive: false });
const { came_back: cameBack } = await new Promise((resolve) => {
  session.login({
    oidcIssuer: told.issuer,
    redirectUrl: told.redirect,
    clientName: "Notisbok",
    tokenType: "DPoP",
    handleRedirect: (url) => resolve(ask({ go_to: url })),
  });
});
const info = await session.handleIncomingRedirect(cameBack);
const { fetch } = session;
const box = `${told.pod}private/notisbok/`;
const found = { signed_in: info.isLoggedIn, webid: info.webId };

// The profile, as anybody reads it; and where the pod is.
const card = await getSolidDataset(info.webId, { fetch });
const me = getThing(card, info.webId);
found.name = getStringNoLocale(me, FOAF_NAME);
found.pods = await getPodUrlAll(info.webId, { fetch });
found.issuers = getUrlAll(me, "http://www.w3.org/ns/solid/terms#oidcIssuer");

// A container, a dataset in it, changed and saved again (a SPARQL-update PATCH), read anew.
await createContainerAt(box, { fetch });
let note = createSolidDataset();
note = setThing(note, buildThing(createThing({ name: "it" })).addStringNoLocale(TEXT, "Kjøp melk").build());
note = await saveSolidDatasetAt(`${box}note.ttl`, note, { fetch });
note = setThing(note, buildThing(getThing(note, `${box}note.ttl#it`)).setStringNoLocale(TEXT, "Kjøp brød").build());
note = setThing(note, buildThing(createThing({ name: "other" })).addUrl("http://schema.org/about", info.webId).build());
note = await saveSolidDatasetAt(`${box}note.ttl`, note, { fetch });
const again = await getSolidDataset(`${box}note.ttl`, { fetch });
found.text = getStringNoLocale(getThing(again, `${box}note.ttl#it`), TEXT);
found.about = getUrl(getThing(again, `${box}note.ttl#other`), "http://schema.org/about");
found.things = getThingAll(again).length;
const posted = await saveSolidDatasetInContainer(box, createSolidDataset(), { fetch, slugSuggestion: "brev" });
found.posted = posted.internal_resourceInfo.sourceIri;

// A file, put, put again, read with its type; one more by POST with a slug.
const picture = `${box}bilde.png`;
await overwriteFile(picture, new Blob([new Uint8Array([137, 80, 78, 71])], { type: "image/png" }), { fetch });
await overwriteFile(picture, new Blob([new Uint8Array(70000).fill(7)], { type: "image/png" }), { fetch });
const file = await getFile(picture, { fetch });
found.file = [file.type, file.size];
const saved = await saveFileInContainer(box, new Blob(["hei"], { type: "text/plain" }), { fetch, slug: "hilsen.txt" });
found.saved = saved.internal_resourceInfo.sourceIri;
found.members = getContainedResourceUrlAll(await getSolidDataset(box, { fetch })).sort();
found.my_access = (await getResourceInfo(picture, { fetch })).internal_resourceInfo.permissions;

// Access: nobody else, then one person, then everybody, then nobody again.
found.access_system = (await universalAccess.getPublicAccess(picture, { fetch }))?.read;
found.before = await refusal(getFile(picture));
await universalAccess.setAgentAccess(picture, told.friend, { read: true }, { fetch });
found.friend = (await universalAccess.getAgentAccess(picture, told.friend, { fetch })).read;
found.mine_still = (await universalAccess.getAgentAccess(picture, info.webId, { fetch })).controlWrite;
await universalAccess.setPublicAccess(picture, { read: true }, { fetch });
found.in_public = (await getFile(picture)).size;
await universalAccess.setPublicAccess(picture, { read: false }, { fetch });
found.after = await refusal(getFile(picture));
const who = await ask({ friend_may_read: picture });
found.friend_read = who.status;

// What the app may not: another's pod, a member that is not there, a container with members in it.
found.elsewhere = await refusal(getSolidDataset(`${told.other_pod}private/`, { fetch }));
found.missing = await refusal(getFile(`${box}borte.txt`, { fetch }));
found.not_empty = await refusal(deleteContainer(box, { fetch }));

// And away with it.
await deleteFile(picture, { fetch });
await deleteFile(found.saved, { fetch });
await deleteSolidDataset(`${box}note.ttl`, { fetch });
await deleteSolidDataset(found.posted, { fetch });
await deleteContainer(box, { fetch });
found.gone = await refusal(getSolidDataset(box, { fetch }));

// The citizen ends the app: its next request is refused.
await ask({ now_end: info.clientAppId ?? "" });
found.ended = (await fetch(`${told.pod}private/`)).status;
say({ found });
process.exit(0);
