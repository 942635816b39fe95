/**
 * An upload whose writer stands still past its lease goes on in another process. When the first one
 * wakes, it finds that it has lost the upload: it is told so, and changes nothing.
 */
import assert from "node:assert/strict";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  assertStatus,
  locationOf,
  octets,
  offsetOf,
  withDigest,
  type Answer,
  type Client,
  type OpenRequest,
} from "./support/client.ts";
import { raceOfProcesses, strayFiles, type Place } from "./support/places.ts";
import { sha256 } from "./support/random.ts";
import { freeze, leaseMs, type ServerProcess } from "./support/server-process.ts";

const repository = "race/takeover";

/** Some batches of what a server writes at once, so that half of a body is seen on the disk. */
const halfBytes = 2 * 1024 * 1024;

raceOfProcesses("a PATCH that stood still past its lease is lost", async (place) => {
  const { first, second, server } = pairOf(place);
  const { location, prefix, start } = await beginAt(place, first);
  const rest = place.random.bytes(halfBytes);
  const lost = first.open("PATCH", location, lengthOf(rest));
  await sendHalf(place, lost, rest, prefix.byteLength);
  await freeze(server);

  const content = Buffer.concat([start, place.random.bytes(100_000)]);
  await completeAt(second, location, content, start.byteLength);
  server.signal("SIGCONT");
  await assertLost(lost, rest);
  await assertEverywhere(place, content);
  assert.deepEqual(await strayFiles(place.root), []);
});

raceOfProcesses("a final PUT that stood still past its lease is lost", async (place) => {
  const { first, second, server } = pairOf(place);
  const { location, prefix, start } = await beginAt(place, first);
  const rest = place.random.bytes(halfBytes);
  const digest = sha256(Buffer.concat([start, rest]));
  const lost = first.open("PUT", withDigest(location, digest), lengthOf(rest));
  await sendHalf(place, lost, rest, prefix.byteLength);
  await freeze(server);

  // The client that goes on has other bytes in mind, so that a mixture of both would be seen.
  const content = Buffer.concat([start, place.random.bytes(halfBytes)]);
  await completeAt(second, location, content, start.byteLength);
  server.signal("SIGCONT");
  await assertLost(lost, rest);
  await assertEverywhere(place, content);
  for (const client of place.clients) {
    assertStatus(await client.get(`/v2/${repository}/blobs/${digest}`), 404);
  }
  assert.deepEqual(await strayFiles(place.root), []);
});

raceOfProcesses("a writer that wakes while its successor writes changes nothing", async (place) => {
  const { first, second, server } = pairOf(place);
  const { location, prefix, start } = await beginAt(place, first);
  const rest = place.random.bytes(halfBytes);
  const lost = first.open("PATCH", location, lengthOf(rest));
  await sendHalf(place, lost, rest, prefix.byteLength);
  await freeze(server);

  const content = Buffer.concat([start, place.random.bytes(halfBytes)]);
  const middle = start.byteLength + 300_000;
  const taken = await afterLease(() =>
    second.patch(location, start.byteLength, content.subarray(start.byteLength, middle)),
  );
  assertStatus(taken, 202);
  assert.equal(offsetOf(taken), middle);
  server.signal("SIGCONT");
  await assertLost(lost, rest);
  const ended = await second.finish(locationOf(taken), sha256(content), content.subarray(middle));
  assertStatus(ended, 201);
  await assertEverywhere(place, content);
  assert.deepEqual(await strayFiles(place.root), []);
});

raceOfProcesses("an upload goes back and forth between two frozen processes", async (place) => {
  const { random } = place;
  const content = random.bytes(3 * halfBytes);
  let location = await random.pick(place.clients).beginUpload(repository);
  let offset = 0;
  for (const turn of [0, 1, 0, 1]) {
    const { first, second, server } = pairOf(place, turn);
    const other = random.bytes(halfBytes);
    const lost = first.open("PATCH", location, lengthOf(other));
    await sendHalf(place, lost, other, offset);
    await freeze(server);
    const end = offset + random.integer(2, 600_000);
    const chunk = content.subarray(offset, end);
    const [at, from] = [location, offset];
    const taken = await afterLease(() => second.patch(at, from, chunk));
    assertStatus(taken, 202);
    server.signal("SIGCONT");
    await assertLost(lost, other);
    location = locationOf(taken);
    offset = end;
  }
  const [client] = place.clients;
  assert(client !== undefined);
  assertStatus(await client.finish(location, sha256(content), content.subarray(offset)), 201);
  await assertEverywhere(place, content);
  assert.deepEqual(await strayFiles(place.root), []);
});

raceOfProcesses("a frozen process holds up nothing but its own uploads", async (place) => {
  const { first, second, server } = pairOf(place);
  const { location, start } = await beginAt(place, first);
  await freeze(server);
  const other = place.random.bytes(1000);
  await second.push(repository, other);
  // Nobody writes to this one at the moment, so there is no lease to wait for.
  assertStatus(await second.finish(location, sha256(start)), 201);
  server.signal("SIGCONT");
  for (const content of [other, start]) await assertEverywhere(place, content);
});

/** The server that will stand still, and the clients of both. */
function pairOf(
  { clients, servers }: Place,
  turn = 0,
): { readonly first: Client; readonly second: Client; readonly server: ServerProcess } {
  const [first, second] = turn === 0 ? clients : clients.toReversed();
  const server = servers[turn];
  assert(first !== undefined && second !== undefined && server !== undefined);
  return { first, second, server };
}

/** An upload with an acknowledged first chunk, which may be empty. */
async function beginAt(
  { random }: Place,
  client: Client,
): Promise<{
  readonly location: string;
  readonly start: Uint8Array;
  readonly prefix: Uint8Array;
}> {
  const begun = await client.beginUpload(repository);
  const start = random.bytes(random.pick([1_000, 700_000]));
  const patched = await client.patch(begun, 0, start);
  assertStatus(patched, 202);
  return { location: locationOf(patched), start, prefix: start };
}

function lengthOf(content: Uint8Array): Readonly<Record<string, string | number>> {
  return { ...octets, "Content-Length": content.byteLength };
}

/** Sends half of a body, and waits until some of it lies on the disk: its writer is at work. */
async function sendHalf(
  { root }: Place,
  request: OpenRequest,
  content: Uint8Array,
  before: number,
): Promise<void> {
  await request.send(content.subarray(0, content.byteLength / 2));
  const folder = join(root, "longshore/uploads");
  for (let looks = 0; looks < 100_000; looks += 1) {
    const names = await readdir(folder).catch(() => []);
    const sizes = await Promise.all(
      names.map(async (name) => (await stat(join(folder, name)).catch(() => undefined))?.size ?? 0),
    );
    if (sizes.some((size) => size > before)) return;
  }
  assert.fail("nothing of the body came to the disk");
}

/** Asks again while the other process's lease runs, as the answer says that one should. */
async function afterLease(ask: () => Promise<Answer>): Promise<Answer> {
  const limit = performance.now() + 20 * leaseMs;
  for (;;) {
    const answer = await ask();
    const isBusy = answer.status === 416 && answer.header("retry-after") !== undefined;
    if (!isBusy || performance.now() > limit) return answer;
  }
}

/** A client goes on where this server says that the upload stands, and ends it. */
async function completeAt(
  client: Client,
  location: string,
  content: Uint8Array,
  acknowledged: number,
): Promise<void> {
  const status = await client.get(location);
  assertStatus(status, 204);
  assert.equal(offsetOf(status), acknowledged, "what was acknowledged, and no more");
  const patched = await afterLease(() =>
    client.patch(locationOf(status), acknowledged, content.subarray(acknowledged)),
  );
  assertStatus(patched, 202);
  assert.equal(offsetOf(patched), content.byteLength);
  assertStatus(await client.finish(locationOf(patched), sha256(content)), 201);
}

/** The rest of the body comes too late: the request is refused. */
async function assertLost(request: OpenRequest, content: Uint8Array): Promise<void> {
  await request.send(content.subarray(content.byteLength / 2));
  assertStatus(await request.end(), 404, 416);
}

async function assertEverywhere({ clients }: Place, content: Uint8Array): Promise<void> {
  const target = `/v2/${repository}/blobs/${sha256(content)}`;
  for (const client of clients) {
    const seen = await client.send("HEAD", target);
    assertStatus(seen, 200);
    assert.equal(seen.header("content-length"), String(content.byteLength));
    const pulled = await client.get(target);
    assertStatus(pulled, 200);
    assert.equal(sha256(pulled.bytes), sha256(content));
  }
}
