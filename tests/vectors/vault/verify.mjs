// A second reading of docs/vault-format.md, in another language and by another library (Node's crypto): it opens every
// frozen vector from the words of that page alone. Usage: node verify.mjs vectors.json
import crypto from "node:crypto";
import fs from "node:fs";

const vectors = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const hex = (text) => Buffer.from(text, "hex");
const ascii = (text) => Buffer.from(text, "latin1");
const sha256 = (...parts) => crypto.createHash("sha256").update(Buffer.concat(parts)).digest();
const hmac = (key, ...parts) => crypto.createHmac("sha256", key).update(Buffer.concat(parts)).digest();
const expand = (secret, label) => hmac(secret, ascii("tvilling v1 " + label), Buffer.from([1]));
const hostDerive = (secret, label) => hmac(secret, ascii("tvilling host v1 " + label), Buffer.from([1]));
const unsigned = (value, bytes) => hex(BigInt(value).toString(16).padStart(bytes * 2, "0"));
const field = (value) => Buffer.concat([unsigned(value.length, 2), value]);
let checks = 0;

function same(actual, expected, what) {
  checks += 1;
  if (Buffer.compare(Buffer.from(actual), Buffer.from(expected)) !== 0) throw new Error(`differs: ${what}`);
}

function subkey(key, nonceStart) {
  // XAES-256-GCM, steps 1 to 5, written with the bare block cipher.
  const block = (data) => {
    const cipher = crypto.createCipheriv("aes-256-ecb", key, null).setAutoPadding(false);
    return Buffer.concat([cipher.update(data), cipher.final()]);
  };
  const l = block(Buffer.alloc(16));
  const k1 = Buffer.alloc(16);
  for (let i = 0; i < 16; i += 1) k1[i] = ((l[i] << 1) | (i < 15 ? l[i + 1] >> 7 : 0)) & 0xff;
  if (l[0] & 0x80) k1[15] ^= 0b10000111;
  const half = (counter) => {
    const message = Buffer.concat([Buffer.from([0, counter, 0x58, 0]), nonceStart]);
    return block(message.map((byte, i) => byte ^ k1[i]));
  };
  return Buffer.concat([half(1), half(2)]);
}

function openEnvelope(secret, { pod, scope, grant = "", epoch = 1, type, place, version = 0 }, sealed) {
  same(sealed.subarray(0, 3), [0x54, 0x56, 1], "magic and version");
  const compression = sealed[3];
  const nameEnd = 5 + sealed[4];
  const dictionary = sealed.subarray(5, nameEnd);
  const nonce = sealed.subarray(nameEnd, nameEnd + 24);
  const commitment = sealed.subarray(nameEnd + 24, nameEnd + 56);
  const body = sealed.subarray(nameEnd + 56);
  const header = Buffer.concat(
    [Buffer.from([1]), Buffer.from([compression]), dictionary, unsigned(pod, 8), ascii(scope), ascii(grant),
      unsigned(epoch, 4), ascii(type), place, unsigned(version, 8)].map(field),
  );
  same(hmac(expand(secret, "commit"), nonce, header), commitment, "commitment");
  const key = subkey(expand(secret, "seal"), nonce.subarray(0, 12));
  const decipher = crypto.createDecipheriv("aes-256-gcm", key, nonce.subarray(12));
  decipher.setAAD(header).setAuthTag(body.subarray(-16));
  return { compression, body: Buffer.concat([decipher.update(body.subarray(0, -16)), decipher.final()]) };
}

for (const vector of vectors.envelopes) {
  const where = { ...vector, type: vector.object_type, place: hex(vector.place) };
  const opened = openEnvelope(hex(vector.secret), where, hex(vector.sealed));
  if (opened.compression === 0) same(opened.body, hex(vector.plaintext), vector.name);
  else same(opened.body.subarray(0, 4), [0x28, 0xb5, 0x2f, 0xfd], "a zstd frame"); // this Node has no zstd of its own
  if ((opened.compression === 1) !== vector.compressed) throw new Error("compression");
}

const schedule = vectors.key_schedule;
for (const label of ["seal", "commit", "index", "mark"])
  same(expand(hex(schedule.secret), label), hex(schedule[label]), label);
const pkcs8 = (oid, seed) => crypto.createPrivateKey({
  key: Buffer.concat([hex(`302e020100300506032b65${oid}04220420`), seed]), format: "der", type: "pkcs8",
});
const publicBytes = (privateKey) =>
  Buffer.from(crypto.createPublicKey(privateKey).export({ format: "jwk" }).x, "base64url");
same(publicBytes(pkcs8("6e", expand(hex(schedule.secret), "inbox"))), hex(schedule.inbox_public_key), "inbox");
const text = Buffer.from(schedule.text, "utf8");
same(hmac(hex(schedule.index), text).subarray(0, 16), hex(schedule.index_name), "index name");
same(hmac(hex(schedule.mark), text).subarray(0, 12), hex(schedule.mark_of_text), "mark");

const { slots, pod, root_key: root, ...vault } = vectors.slots;
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
let number = 0n;
for (const character of vault.recovery_code.replaceAll("-", "")) number = number * 32n + BigInt(alphabet.indexOf(character));
const entropy = unsigned(number >> 12n, 16);
same(entropy, hex(vault.recovery_entropy), "recovery code");
const checksum = sha256(ascii("tvilling recovery code v1"), entropy).readUInt16BE(0) >> 4;
if (Number(number & 0xfffn) !== checksum) throw new Error("checksum");
const hostKey = hex(vault.host_key);
same(hostDerive(hostKey, "fingerprint").subarray(0, 8), hex(vault.host_fingerprint), "fingerprint");
const secrets = {
  passphrase: (slot) => (crypto.argon2Sync
    ? crypto.argon2Sync("argon2id", { message: vault.passphrase.normalize("NFKC"), nonce: hex(slot.salt), parallelism: 1, tagLength: 32, memory: 64, passes: 1 })
    : hex(vault.passphrase_key)), // Node has Argon2 from version 24 on
  recovery: (slot) => hmac(hex(slot.salt), entropy),
  custodian: () => hostDerive(hostKey, "pod slot"),
};
for (const slot of slots) {
  const place = slot.kind === "custodian" ? "custodian" : `${slot.kind} ${slot.parameters}`;
  const opened = openEnvelope(secrets[slot.kind](slot), { pod, scope: "slot", type: "slot", place: ascii(place) }, hex(slot.sealed));
  same(opened.body, hex(root), slot.kind);
}
const entry = vault.keyring;
const where = { pod, scope: "grant", grant: entry.grant, epoch: entry.epoch, type: "scope-secret", place: Buffer.alloc(0) };
same(openEnvelope(expand(hex(root), "keyring"), where, hex(entry.wrapped)).body, hex(entry.secret), "keyring");

// Covers: the host key's file, the epoch key's file, the pod's cover key, and what lies under it (section 4 and 5).
const covers = vectors.covers;
const fileSecret = hex(covers.file_secret);
same(hostDerive(fileSecret, "fingerprint").subarray(0, 8), hex(covers.file_fingerprint), "file's fingerprint");
const nowhere = Buffer.alloc(0);
const sealedHostKey = { pod: 0, scope: "host", type: "host-key", place: nowhere };
const openedHostKey = openEnvelope(hostDerive(fileSecret, "file host key"), sealedHostKey, hex(covers.host_key_sealed)).body;
same(hostDerive(openedHostKey, "fingerprint").subarray(0, 8), hex(covers.host_fingerprint), "host key");
const [headLine, sealLine] = covers.epoch_key_file.split("\n");
const [form, epochNumber, madeAt] = headLine.split(" ");
const [sealedTo, sealedEpoch] = sealLine.split(" ");
if (form !== "tvilling-epoch-key-v1" || sealedTo !== covers.file_fingerprint) throw new Error("epoch key's file");
const epochPlace = { pod: 0, scope: "epoch", epoch: Number(epochNumber), type: "epoch-key", place: ascii(madeAt) };
const epochKey = openEnvelope(hostDerive(fileSecret, "file epoch key"), epochPlace, Buffer.from(sealedEpoch, "base64")).body;
const coverPlace = { pod: covers.pod, scope: "cover", epoch: Number(epochNumber), type: "cover-key", place: nowhere };
const coverKey = openEnvelope(epochKey, coverPlace, hex(covers.cover)).body;
const under = { pod: covers.pod, scope: "cover" };
const slotPlace = { ...under, type: "covered-slot", place: ascii(covers.slot.kind) };
same(openEnvelope(coverKey, slotPlace, hex(covers.slot.sealed)).body, hex(covers.slot.inside), "covered slot");
const secretName = Buffer.concat([field(ascii("grant")), field(ascii(covers.secret.grant)), unsigned(covers.secret.epoch, 4)]);
const secretPlace = { ...under, type: "covered-secret", place: secretName };
same(openEnvelope(coverKey, secretPlace, hex(covers.secret.sealed)).body, hex(covers.secret.inside), "covered secret");

const log = vectors.log;
const nodeHash = (left, right) => sha256(Buffer.from([1]), left, right);
const treeRoot = (leaves) => {
  if (leaves.length === 1) return leaves[0];
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return nodeHash(treeRoot(leaves.slice(0, split)), treeRoot(leaves.slice(split)));
};
const leaves = log.leaves.map((leaf) => {
  const opening = sha256(ascii("tvilling log event v1\0"), hex(leaf.salt), Buffer.from(leaf.event, "utf8"));
  same(opening, hex(leaf.event_commitment), "event commitment");
  const data = sha256(ascii("tvilling log leaf v1\0"), unsigned(leaf.index, 8), opening, sha256(hex(leaf.sealed)));
  const hash = sha256(Buffer.from([0]), data);
  same(hash, hex(leaf.leaf_hash), "leaf hash");
  return hash;
});
same(treeRoot(leaves), hex(log.root), "root");
const [body, signatureLine] = log.checkpoint.split("\n\n");
const [dash, name, signature] = signatureLine.trimEnd().split(" ");
const key = crypto.createPublicKey(pkcs8("70", hex(log.checkpoint_seed)));
const publicKey = Buffer.from(key.export({ format: "jwk" }).x, "base64url");
const keyId = sha256(Buffer.from(name, "utf8"), Buffer.from([0x0a, 0x01]), publicKey).subarray(0, 4);
const signed = Buffer.from(signature, "base64");
same(signed.subarray(0, 4), keyId, "key id");
if (dash !== "—" || !crypto.verify(null, Buffer.from(body + "\n"), key, signed.subarray(4))) throw new Error("checkpoint");
same(Buffer.from(body.split("\n")[2], "base64"), hex(log.root), "signed root");
same(Buffer.from(`${name}+${keyId.toString("hex")}+${Buffer.concat([Buffer.from([1]), publicKey]).toString("base64")}`), Buffer.from(log.verifier_key), "verifier key");
// A witness's cosignature.
const cosignature = vectors.cosignature;
const witnessKey = crypto.createPublicKey(pkcs8("70", hex(cosignature.seed)));
const witnessPublic = Buffer.from(witnessKey.export({ format: "jwk" }).x, "base64url");
const [, witnessName, witnessSigned] = cosignature.line.trimEnd().split(" ");
const said = Buffer.from(witnessSigned, "base64");
const witnessId = sha256(Buffer.from(witnessName, "utf8"), Buffer.from([0x0a, 0x04]), witnessPublic).subarray(0, 4);
same(said.subarray(0, 4), witnessId, "witness's key id");
const statement = Buffer.from(`cosignature/v1\ntime ${said.readBigUInt64BE(4)}\n${cosignature.checkpoint_body}`);
if (said.length !== 76 || !crypto.verify(null, statement, witnessKey, said.subarray(12))) throw new Error("cosignature");
same(Buffer.from(`${witnessName}+${witnessId.toString("hex")}+${Buffer.concat([Buffer.from([4]), witnessPublic]).toString("base64")}`), Buffer.from(cosignature.witness_key), "witness's key");
// A hand-over from one key of the logs to the next, and the new key's seed at rest.
const handOver = vectors.hand_over;
const handKeys = handOver.seeds.map((seed) => crypto.createPublicKey(pkcs8("70", hex(seed))));
const handPublics = handKeys.map((each) => Buffer.from(each.export({ format: "jwk" }).x, "base64url"));
const [handBody, handSignatures] = handOver.note.split("\n\n");
const handLines = handBody.split("\n");
if (handLines[0] !== "tvilling log key hand-over v1" || handLines.length !== 6 || handLines[2] !== "2") throw new Error("hand-over");
handPublics.forEach((each, i) => same(Buffer.from(handLines[3 + i], "base64"), each, "hand-over's key"));
handSignatures.trimEnd().split("\n").forEach((line, i) => {
  const [, handName, text] = line.split(" ");
  const bytes = Buffer.from(text, "base64");
  same(Buffer.from(handName), Buffer.from(handLines[1]), "hand-over's name");
  same(bytes.subarray(0, 4), sha256(Buffer.from(handName, "utf8"), Buffer.from([0x0a, 0x01]), handPublics[i]).subarray(0, 4), "hand-over's key id");
  if (!crypto.verify(null, Buffer.from(handBody + "\n"), handKeys[i], bytes.subarray(4))) throw new Error("hand-over's signature");
});
// Chunked files: sealed again from the words of section 8, and opened where the vector holds the whole file.
for (const vector of vectors.chunked_files) {
  const reference = hex(vector.reference);
  const [name, secret, size] = [reference.subarray(0, 16), reference.subarray(16, 48), Number(reference.readBigUInt64BE(48))];
  if (reference.length !== 56 || size !== vector.bytes) throw new Error("reference");
  const prefix = Buffer.from([0x54, 0x56, 0x43, 1]);
  const fileKey = expand(secret, "chunks");
  const whole = 262144;
  const count = Math.max(1, Math.ceil(size / whole));
  const parts = [prefix];
  for (let i = 0; i < count; i += 1) {
    const last = Buffer.from([i === count - 1 ? 1 : 0]);
    const nonce = Buffer.concat([unsigned(i, 11), last]);
    const fields = Buffer.concat([prefix, unsigned(vector.pod, 8), name, unsigned(i, 8), last].map(field));
    const cipher = crypto.createCipheriv("aes-256-gcm", fileKey, nonce).setAAD(fields);
    parts.push(cipher.update(Buffer.alloc(Math.min(whole, size - i * whole), vector.byte)), cipher.final(), cipher.getAuthTag());
    same(parts.at(-1), hex(vector.tags[i]), `tag ${i} of ${vector.name}`);
    if (vector.sealed !== null) {
      const chunk = hex(vector.sealed).subarray(prefix.length);
      const decipher = crypto.createDecipheriv("aes-256-gcm", fileKey, nonce).setAAD(fields).setAuthTag(chunk.subarray(-16));
      const opened = Buffer.concat([decipher.update(chunk.subarray(0, -16)), decipher.final()]);
      same(opened, Buffer.alloc(size, vector.byte), vector.name);
    }
  }
  same(sha256(...parts), hex(vector.sealed_sha256), vector.name);
}
// Inboxes: RFC 9180 in base mode with X25519, HKDF-SHA256 and AES-256-GCM, written out.
const suite = (kind) => (kind === "kem" ? Buffer.concat([ascii("KEM"), unsigned(0x20, 2)])
  : Buffer.concat([ascii("HPKE"), unsigned(0x20, 2), unsigned(1, 2), unsigned(2, 2)]));
const labeledExtract = (kind, salt, label, ikm) => hmac(salt, ascii("HPKE-v1"), suite(kind), ascii(label), ikm);
const labeledExpand = (kind, prk, label, info, length) =>
  hmac(prk, unsigned(length, 2), ascii("HPKE-v1"), suite(kind), ascii(label), info, Buffer.from([1])).subarray(0, length);
const x25519Public = (bytes) => crypto.createPublicKey({
  key: Buffer.concat([hex("302a300506032b656e032100"), bytes]), format: "der", type: "spki",
});
function openHpke(privateKey, sealed, info) {
  const encapsulated = sealed.subarray(0, 32);
  const dh = crypto.diffieHellman({ privateKey, publicKey: x25519Public(encapsulated) });
  const eaePrk = labeledExtract("kem", Buffer.alloc(32), "eae_prk", dh);
  const context = Buffer.concat([encapsulated, publicBytes(privateKey)]);
  const shared = labeledExpand("kem", eaePrk, "shared_secret", context, 32);
  const empty = Buffer.alloc(0);
  const schedule = Buffer.concat([Buffer.from([0]), labeledExtract("hpke", Buffer.alloc(32), "psk_id_hash", empty),
    labeledExtract("hpke", Buffer.alloc(32), "info_hash", info)]);
  const secret = labeledExtract("hpke", shared, "secret", empty);
  const aead = crypto.createDecipheriv("aes-256-gcm", labeledExpand("hpke", secret, "key", schedule, 32),
    labeledExpand("hpke", secret, "base_nonce", schedule, 12));
  aead.setAAD(empty).setAuthTag(sealed.subarray(-16));
  return Buffer.concat([aead.update(sealed.subarray(32, -16)), aead.final()]);
}
// A compact event: MessagePack with the words' numbers, hashes and grants as bytes (section 6; the words stand in the document).
const formatText = fs.readFileSync(new URL("../../../docs/vault-format.md", import.meta.url), "utf8");
const eventWords = formatText.split("words are only ever added at the end:\n\n")[1].split("\n\n")[0].trim().split(/\s+/).map((word) => (word === '""' ? "" : word));
const word = (value) => (typeof value === "number" ? eventWords[value] : value);
const whole = (value) => (typeof value === "bigint" ? Number(value) : value);
const base32 = (bytes) => {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return bits.match(/.{5}/g).slice(0, 26).map((five) => "abcdefghijklmnopqrstuvwxyz234567"[Number.parseInt(five, 2)]).join("");
};
for (const leaf of vectors.compact_events) {
  const compact = hex(leaf.compact);
  const [action, kind, id, name, at, count, detail, grant, outcome, purpose, ...through] = unpack(compact.subarray(3, 3 + compact.readUInt16BE(1)));
  const members = {
    action: word(action), actor: { id: word(id), kind: word(kind), name: word(name), ...(through.length ? { through: through[0] } : {}) }, at: whole(at), count: whole(count),
    detail: Object.fromEntries(detail.map(([key, value]) => [word(key), Buffer.isBuffer(value) ? value.toString("hex") : whole(value)]).sort()),
    grant: Buffer.isBuffer(grant) ? `g-${base32(grant)}` : word(grant), outcome: word(outcome), purpose: word(purpose),
  };
  const text = Buffer.from(JSON.stringify(members), "utf8");
  same(Buffer.concat([text, Buffer.alloc((128 - (text.length % 128)) % 128, " ")]), Buffer.from(leaf.event, "utf8"), "compact event");
}
for (const [index, leaf] of log.leaves.entries()) {
  const info = Buffer.concat([ascii("tvilling log v1\0"), unsigned(log.pod, 8), unsigned(index, 8)]);
  const opened = openHpke(pkcs8("6e", expand(hex(log.log_secret), "inbox")), hex(leaf.sealed), info);
  same(opened, Buffer.concat([hex(leaf.salt), Buffer.from(leaf.event, "utf8")]), "log event");
}
const inbox = vectors.inboxes;
const inboxKey = pkcs8("6e", expand(hex(inbox.grant_secret), "inbox"));
same(publicBytes(inboxKey), hex(inbox.inbox_public_key), "the grant's inbox");
const inboxContext = (form, number) => Buffer.concat([ascii("tvilling inbox v1\0"),
  ...[ascii(form), ascii(inbox.grant), unsigned(inbox.epoch, 4), unsigned(number, 8)].map(field)]);
same(openHpke(inboxKey, hex(inbox.partner.sealed), inboxContext("partner", inbox.partner.number)), hex(inbox.partner.lines), "partner-sealed");
const frame = openHpke(inboxKey, hex(inbox.host.sealed), inboxContext("host", inbox.host.number));
same(frame.subarray(0, 4), [0x28, 0xb5, 0x2f, 0xfd], "host-sealed: a zstd frame");
const signingSeed = hmac(expand(hex(inbox.identity_secret), "sign"), Buffer.from(inbox.grant, "utf8"));
same(signingSeed, hex(inbox.signing_seed), "signing seed");
const [jwsHead, jwsPayload, jwsSignature] = inbox.statement.split(".");
const jwk = JSON.parse(Buffer.from(jwsHead, "base64url")).jwk;
const citizenKey = pkcs8("70", signingSeed);
same(publicBytes(citizenKey), Buffer.from(jwk.x, "base64url"), "the citizen's key in the statement");
const thumbprint = sha256(Buffer.from(JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x }))).toString("base64url");
same(Buffer.from(jwk.kid), Buffer.from(thumbprint), "thumbprint");
if (!crypto.verify(null, ascii(`${jwsHead}.${jwsPayload}`), crypto.createPublicKey(citizenKey), Buffer.from(jwsSignature, "base64url"))) throw new Error("statement");
const stated = JSON.parse(Buffer.from(jwsPayload, "base64url"));
same(Buffer.from(stated.inbox, "base64url"), hex(inbox.inbox_public_key), "stated inbox");
if (stated.grant !== inbox.grant || stated.epoch !== inbox.epoch) throw new Error("statement's grant and epoch");
const marksWhere = { pod: inbox.pod, scope: "marks", grant: inbox.grant, epoch: 1, type: "scope-secret", place: Buffer.alloc(0) };
same(openEnvelope(hostDerive(hex(inbox.marks.host_key), "pod marks"), marksWhere, hex(inbox.marks.wrapped)).body, hex(inbox.marks.mark_key), "mark key");

// Sealed anew: an event of the log, and what the log tells of a run of segments.
const anew = vectors.sealed_anew;
const eventWhere = { pod: anew.pod, scope: "log", epoch: anew.epoch, type: "log-event", place: Buffer.alloc(0), version: anew.index };
same(openEnvelope(hex(anew.log_secret), eventWhere, hex(anew.sealed)).body, Buffer.concat([hex(anew.salt), Buffer.from(anew.event, "utf8")]), "event sealed anew");
same(sha256(...anew.run.segments.map(([ordinal, hash]) => Buffer.concat([unsigned(ordinal, 8), hex(hash)]))), hex(anew.run.commitment), "run");

// A pack: several deliveries of one grant in one envelope, read with a MessagePack reader of a few lines.
function unpack(bytes) {
  let at = 0;
  const take = (count) => bytes.subarray(at, (at += count));
  const number = (count) => take(count).reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const value = () => {
    const lead = bytes[at++];
    const array = (count) => Array.from({ length: Number(count) }, value);
    if (lead < 0x80) return lead;
    if (lead < 0x90) return Array.from({ length: lead & 15 }, () => [value(), value()]);
    if (lead >= 0x90 && lead < 0xa0) return array(lead & 15);
    if (lead >= 0xa0 && lead < 0xc0) return take(lead & 31).toString("utf8");
    if (lead >= 0xc4 && lead <= 0xc6) return take(Number(number(1 << (lead - 0xc4))));
    if (lead >= 0xcc && lead <= 0xcf) return number(1 << (lead - 0xcc));
    if (lead >= 0xd9 && lead <= 0xdb) return take(Number(number(1 << (lead - 0xd9)))).toString("utf8");
    if (lead === 0xdc || lead === 0xdd) return array(number(lead === 0xdc ? 2 : 4));
    throw new Error(`MessagePack ${lead}`);
  };
  return value();
}
const pack = vectors.packs;
const packWhere = { ...pack, scope: "grant", type: "segment-pack", place: unsigned(pack.first, 8), version: pack.last };
const packed = openEnvelope(hex(pack.secret), packWhere, hex(pack.sealed)).body;
same(packed, hex(pack.body), "pack");
const [kinds, kindOf, raws, parts] = unpack(packed);
let record = 0;
const unpacked = parts.map(([ordinal, seq, received, count]) => ({
  ordinal, seq, received: String(received),
  records: Array.from({ length: count }, () => [kinds[kindOf[record]], raws[record++].toString("utf8")]),
}));
same(Buffer.from(JSON.stringify(unpacked)), Buffer.from(JSON.stringify(pack.deliveries)), "the deliveries of a pack");
console.log(`${checks} checks`);
