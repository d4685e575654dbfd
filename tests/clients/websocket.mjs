// A plain WebSocket client: finds the service from the resource, subscribes, and hears what becomes of the resource.
import { Session } from "@inrupt/solid-client-authn-node";
import WebSocket from "ws";
import { say, told } from "./speak.mjs";

const session = new Session({ keepAlive: false });
await session.login({
  oidcIssuer: told.issuer, clientId: told.client_id, clientSecret: told.client_secret, tokenType: "DPoP",
});
const topic = `${told.pod}private/liste/`;
const headers = { "Content-Type": "text/turtle" };
await session.fetch(topic, { method: "PUT", headers: { ...headers, Link: '<http://www.w3.org/ns/ldp#BasicContainer>; rel="type"' } });

// Found as the protocol says: the resource's Link to its storage description, which names the services.
const head = await session.fetch(topic, { method: "HEAD" });
const link = head.headers.get("Link").match(/<([^>]*)>; *rel="http:\/\/www\.w3\.org\/ns\/solid\/terms#storageDescription"/);
const described = await session.fetch(new URL(link[1], topic), { headers: { Accept: "application/ld+json" } });
const description = JSON.stringify(await described.json());
const service = description.match(/"(http[^"]*\/\.notifications\/WebSocketChannel2023[^"]*)"/)[1];

const subscribed = await session.fetch(service, {
  method: "POST",
  headers: { "Content-Type": "application/ld+json" },
  body: JSON.stringify({
    "@context": ["https://www.w3.org/ns/solid/notification/v1"],
    type: "http://www.w3.org/ns/solid/notifications#WebSocketChannel2023",
    topic,
  }),
});
const channel = await subscribed.json();
const socket = new WebSocket(channel.receiveFrom);
const heard = [];
let wake = () => {};
socket.on("message", (data) => { heard.push(JSON.parse(data)); wake(); });
async function hears(number) {
  while (heard.length < number) {
    await new Promise((resolve) => { wake = resolve; });
  }
}
await new Promise((resolve, reject) => { socket.on("open", resolve); socket.on("error", reject); });

await session.fetch(`${topic}a.ttl`, { method: "PUT", headers, body: "<> <urn:p> 1 ." });
await hears(1);
await session.fetch(`${topic}a.ttl`, { method: "DELETE" });
await hears(2);
// The closing handshake, by both sides, and the connection's end.
const closed = new Promise((resolve) => socket.on("close", (code) => resolve(code)));
const began = Date.now();
socket.close();
const code = await closed;
say({ found: {
  status: subscribed.status, type: channel.type, topic: channel.topic, protocol: new URL(channel.receiveFrom).protocol,
  heard: heard.map((each) => [each.type, each.object, each.target ?? null]), closed: [code, Date.now() - began < 5000],
} });
process.exit(0);
