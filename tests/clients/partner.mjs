// A partner that uses oauth4webapi, a client of the FAPI 2.0 profile which we did not write: PAR, RAR, PKCE, DPoP, private_key_jwt.
import * as oauth from "oauth4webapi";
import { ask, say, told } from "./speak.mjs";

const plain = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(told.issuer);
const server = await oauth.processDiscoveryResponse(
  issuer, await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...plain }));
const client = { client_id: told.client_id };
const key = await crypto.subtle.importKey("jwk", told.key, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
const signIn = oauth.PrivateKeyJwt({ key, kid: told.key.kid });
const proof = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));
const options = { DPoP: proof, ...plain };

const verifier = oauth.generateRandomCodeVerifier();
const state = oauth.generateRandomState();
const pushed = await oauth.processPushedAuthorizationResponse(server, client,
  await oauth.pushedAuthorizationRequest(server, client, signIn, {
    response_type: "code", redirect_uri: told.redirect, state, code_challenge_method: "S256",
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    authorization_details: JSON.stringify([told.details]),
  }, options));
const question = new URL(server.authorization_endpoint);
question.search = new URLSearchParams({ client_id: client.client_id, request_uri: pushed.request_uri });

const { back } = await ask({ question: question.href });
const parameters = oauth.validateAuthResponse(server, client, new URL(back), state); // iss (RFC 9207) and state
const given = await oauth.processAuthorizationCodeResponse(server, client,
  await oauth.authorizationCodeGrantRequest(server, client, signIn, parameters, told.redirect, verifier, options));
const found = { grant: given.grant_id, type: given.token_type, details: given.authorization_details };

const [{ location }] = given.authorization_details;
async function deliver(token) {
  const body = JSON.stringify({ grant: given.grant_id, activity: told.activity }) + "\n";
  const headers = new Headers({ "content-type": "application/x-ndjson" });
  const answer = await oauth.protectedResourceRequest(token, "POST", new URL(location), headers, body, options);
  return (await answer.json()).map((item) => item.status ?? item);
}
found.first = await deliver(given.access_token);
const again = await oauth.processRefreshTokenResponse(server, client,
  await oauth.refreshTokenGrantRequest(server, client, signIn, given.refresh_token, options));
found.second = await deliver(again.access_token);

await ask({ delivered: found });
found.after = await deliver(again.access_token);
try {
  await oauth.processRefreshTokenResponse(server, client,
    await oauth.refreshTokenGrantRequest(server, client, signIn, given.refresh_token, options));
} catch (error) {
  found.refresh = error.error;
}
try {
  oauth.validateAuthResponse(server, client, new URL(back.replace(encodeURIComponent(told.issuer), "https%3A%2F%2Fevil.example")), state);
} catch (error) {
  found.mixed_up = error.name;
}
say({ found });
process.exit(0);
