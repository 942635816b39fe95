/** More than one writer on one upload: only one may succeed, and what it was told is true. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import {
  assertStatus,
  locationOf,
  octets,
  offsetOf,
  withDigest,
  type Answer,
  type Client,
} from "./support/client.ts";
import { race, strayFiles, type Place } from "./support/places.ts";
import { raceRounds, sha256, type Random } from "./support/random.ts";

const repository = "race/uploads";
const rounds = raceRounds();

race("of two writers at once on one upload at most one succeeds", async (place) => {
  const { clients, random, root } = place;
  for (let round = 0; round < rounds; round += 1) {
    const location = await random.pick(clients).beginUpload(repository);
    const contents = [0, 1].map(() => random.bytes(random.integer(2, 300_000)));
    const writes = contents.map((content) =>
      sendInPieces(place, { method: "PATCH", target: location, content }),
    );
    const answers = await Promise.all(writes);
    for (const answer of answers) assertStatus(answer, 202, 416);
    const winners = contents.filter((_, index) => answers[index]?.status === 202);
    assert(winners.length <= 1, "two writers wrote to the same place");
    await completeOrFindUnknown(place, { location, contents, acknowledged: winners[0] });
  }
  assert.deepEqual(await strayFiles(root), []);
});

race("a PATCH beside the final PUT: one of them succeeds at most", async (place) => {
  const { clients, random, root } = place;
  for (let round = 0; round < rounds; round += 1) {
    const begun = await random.pick(clients).beginUpload(repository);
    const start = random.bytes(random.integer(2, 100_000));
    const first = await random.pick(clients).patch(begun, 0, start);
    assertStatus(first, 202);
    const location = locationOf(first);
    const tail = random.chance(0.5) ? random.bytes(random.integer(2, 200_000)) : undefined;
    const content = tail === undefined ? start : Buffer.concat([start, tail]);
    const other = random.bytes(random.integer(2, 200_000));
    const [put, patched] = await Promise.all([
      sendInPieces(place, {
        method: "PUT",
        target: withDigest(location, sha256(content)),
        content: tail,
      }),
      sendInPieces(place, { method: "PATCH", target: location, content: other }),
    ]);
    assertStatus(put, 201, 404, 416);
    assertStatus(patched, 202, 404, 416);
    assert(put.status !== 201 || patched.status !== 202, "the PUT ended an upload that went on");
    if (put.status === 201) {
      assertStatus(patched, 404, 416);
      await assertPulled(clients, content);
      continue;
    }
    const contents = [content, Buffer.concat([start, other])];
    const acknowledged = patched.status === 202 ? contents[1] : undefined;
    await completeOrFindUnknown(place, { location, contents, acknowledged });
  }
  assert.deepEqual(await strayFiles(root), []);
});

race("an upload is cancelled while it is written to and ended", async (place) => {
  const { clients, random, root } = place;
  for (let round = 0; round < rounds; round += 1) {
    const location = await random.pick(clients).beginUpload(repository);
    const content = random.bytes(random.integer(2, 200_000));
    const target = withDigest(location, sha256(content));
    const [put, cancelled] = await Promise.all([
      sendInPieces(place, { method: "PUT", target, content }),
      turns(random).then(() => random.pick(clients).send("DELETE", location)),
    ]);
    assertStatus(put, 201, 404, 416);
    assertStatus(cancelled, 204, 404);
    assert(put.status !== 201 || cancelled.status !== 204, "both ended the same upload");
    if (put.status === 201) await assertPulled(clients, content);
    assertStatus(await random.pick(clients).get(location), 404);
  }
  assert.deepEqual(await strayFiles(root), []);
});

/** Sends a body in pieces of random size, with other work between them. */
async function sendInPieces(
  { clients, random }: Place,
  request: {
    readonly method: string;
    readonly target: string;
    readonly content: Uint8Array | undefined;
  },
): Promise<Answer> {
  const { content, method, target } = request;
  const own = random.fork();
  const client = own.pick(clients);
  await turns(own);
  if (content === undefined) return await client.send(method, target);
  const open = client.open(method, target, { ...octets, "Content-Length": content.byteLength });
  for (let at = 0; at < content.byteLength;) {
    const end = Math.min(content.byteLength, at + own.integer(1, 60_000));
    await open.send(content.subarray(at, end));
    await turns(own);
    at = end;
  }
  return await open.end();
}

/** Lets others go first, now and then. */
async function turns(random: Random): Promise<void> {
  for (let left = random.integer(0, 4); left > 0; left -= 1) await setImmediate();
}

/** Afterwards the upload is as its clients were told, and can be ended; or nobody knows it. */
async function completeOrFindUnknown(
  { clients, random }: Place,
  upload: {
    readonly location: string;
    readonly contents: readonly Uint8Array[];
    readonly acknowledged: Uint8Array | undefined;
  },
): Promise<void> {
  const { acknowledged, contents, location } = upload;
  const status = await random.pick(clients).get(location);
  if (acknowledged !== undefined) assertStatus(status, 204);
  assertStatus(status, 204, 404);
  if (status.status === 404) return;
  const offset = offsetOf(status);
  if (acknowledged !== undefined) assert.equal(offset, acknowledged.byteLength);
  const content = acknowledged ?? contents.find(({ byteLength }) => byteLength >= offset);
  assert(content !== undefined, "the upload holds more than was sent");
  const rest = content.subarray(offset);
  const put = await random
    .pick(clients)
    .finish(locationOf(status), sha256(content), rest.byteLength === 0 ? undefined : rest);
  // Nobody was told whose bytes a partial upload holds: then they may be the other one's.
  if (acknowledged !== undefined || offset === 0) assertStatus(put, 201);
  else assertStatus(put, 201, 400);
  if (put.status === 201) await assertPulled(clients, content);
  assertStatus(await random.pick(clients).get(location), 404);
}

async function assertPulled(clients: readonly Client[], content: Uint8Array): Promise<void> {
  for (const client of clients) {
    const pulled = await client.get(`/v2/${repository}/blobs/${sha256(content)}`);
    assertStatus(pulled, 200);
    assert.equal(sha256(pulled.bytes), sha256(content));
  }
}
