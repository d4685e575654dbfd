// Comunica with an authenticated fetch: queries over documents and over the pod's own endpoint; and updates.
import { QueryEngine } from "@comunica/query-sparql";
import { Session } from "@inrupt/solid-client-authn-node";
import { say, told } from "./speak.mjs";

const session = new Session({ keepAlive: false });
await session.login({
  oidcIssuer: told.issuer, clientId: told.client_id, clientSecret: told.client_secret, tokenType: "DPoP",
});
const { fetch } = session;
const engine = new QueryEngine();
const folder = `${told.pod}private/venner/`;
const [list, one, two] = [`${folder}liste.ttl`, `${folder}en.ttl`, `${folder}to.ttl`];
const foaf = "PREFIX foaf: <http://xmlns.com/foaf/0.1/>";
const put = (place, body) => fetch(place, { method: "PUT", headers: { "Content-Type": "text/turtle" }, body });
await put(list, `<#me> <http://xmlns.com/foaf/0.1/knows> <en.ttl#it>, <to.ttl#it> .`);
await put(one, `<#it> <http://xmlns.com/foaf/0.1/name> "Berit" ; <http://xmlns.com/foaf/0.1/age> 40 .`);
await put(two, `<#it> <http://xmlns.com/foaf/0.1/name> "Åse"@nb ; <http://xmlns.com/foaf/0.1/age> 50 .`);

async function names(by, query, sources) {
  const rows = await (await by.queryBindings(query, { sources, fetch, lenient: false })).toArray();
  return rows.map((row) => row.get("name")?.value).sort();
}
const found = {};
const friends = `${foaf} SELECT ?name WHERE { <${list}#me> foaf:knows ?friend . ?friend foaf:name ?name ; foaf:age ?age FILTER(?age > 30) }`;
found.documents = await names(engine, friends, [list, one, two]);
found.endpoint = await names(engine, friends, [{ type: "sparql", value: `${told.pod}sparql` }]);
found.ask = await engine.queryBoolean(`${foaf} ASK { ?a foaf:age 50 }`, { sources: [two], fetch });
const made = await (await engine.queryQuads(
  `${foaf} CONSTRUCT { ?a <urn:called> ?name } WHERE { ?a foaf:name ?name }`, { sources: [one, two], fetch })).toArray();
found.constructed = made.map((quad) => [quad.subject.value, quad.object.value]).sort();

// Updates: added to a document that is there, taken away, and a document that was not there before.
const update = (text, place) => engine.queryVoid(text, { sources: [place], destination: place, fetch });
await update(`${foaf} INSERT DATA { <${two}#it> foaf:nick "Å" }`, two);
await engine.invalidateHttpCache();
await update(`${foaf} DELETE { ?a foaf:age ?old } INSERT { ?a foaf:age ?new } WHERE { ?a foaf:age ?old BIND(?old + 1 AS ?new) }`, two);
await engine.invalidateHttpCache();
found.updated = await (await fetch(two)).text();
const fresh = `${folder}ny.ttl`;
await engine.queryVoid(`${foaf} INSERT DATA { <${fresh}#it> foaf:name "Ny" }`,
  { sources: [{ type: "serialized", value: "", mediaType: "text/turtle", baseIRI: fresh }], destination: fresh, fetch });
found.fresh = await names(engine, `${foaf} SELECT ?name { ?a foaf:name ?name }`, [fresh]);

// A stranger's engine meets the refusal.
try {
  await (await new QueryEngine().queryBindings(friends, { sources: [list] })).toArray();
  found.stranger = "let in";
} catch (error) {
  found.stranger = /HTTP status (\d+)/.exec(error.message)?.[1] ?? error.message;
}
say({ found });
process.exit(0);
