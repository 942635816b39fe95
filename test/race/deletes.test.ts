/** Pushes against deletes: whatever is served at the end has everything that it needs. */
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import {
  assertStatus,
  imageManifest,
  referencesOf,
  type Answer,
  type Client,
} from "./support/client.ts";
import { race, type Place } from "./support/places.ts";
import { raceRounds, sha256, type Random } from "./support/random.ts";

const rounds = raceRounds();

race("a manifest is put while it and its blobs are deleted", async (place) => {
  const { clients, random } = place;
  const repository = "race/deletes";
  for (let round = 0; round < rounds; round += 1) {
    const config = random.bytes(64);
    const layer = random.bytes(500);
    for (const content of [config, layer]) await random.pick(clients).push(repository, content);
    const manifest = imageManifest(config, [layer]);
    const existing = random.chance(0.5);
    if (existing) {
      assertStatus(await random.pick(clients).putManifest(repository, "old", manifest), 201);
    }
    const blobs = `/v2/${repository}/blobs`;
    const whole = `/v2/${repository}/manifests/${sha256(manifest)}`;
    const [put, ...deleted] = await Promise.all([
      later(place, (client) => client.putManifest(repository, `t${round}`, manifest)),
      later(place, (client) => client.send("DELETE", `${blobs}/${sha256(layer)}`)),
      later(place, (client) => client.send("DELETE", `${blobs}/${sha256(config)}`)),
      later(place, (client) => client.send("DELETE", whole)),
      later(place, (client) => client.send("DELETE", `/v2/${repository}/manifests/old`)),
    ]);
    // Without its blobs it is refused, and then the client is told which.
    assertStatus(put, 201, 400);
    for (const answer of deleted) assertStatus(answer, 202, 404, 405);
    await assertConsistent(clients, repository);
    const served = await random.pick(clients).get(whole);
    assertStatus(served, 200, 404);
    if (served.status === 200) await assertComplete(random.pick(clients), repository, served);
  }
});

race("a blob is mounted while it is deleted where it comes from", async (place) => {
  const { clients, random } = place;
  for (let round = 0; round < rounds; round += 1) {
    const content = random.bytes(500);
    const digest = sha256(content);
    await random.pick(clients).push("race/from", content);
    const query = random.pick([`mount=${digest}&from=race/from`, `mount=${digest}`]);
    const targets = ["race/to", "race/elsewhere"];
    const answers = await Promise.all([
      ...targets.map((target) =>
        later(place, (client) => client.send("POST", `/v2/${target}/blobs/uploads/?${query}`)),
      ),
      later(place, (client) => client.send("DELETE", `/v2/race/from/blobs/${digest}`)),
    ]);
    assertStatus(answers.pop() ?? assert.fail(), 202);
    for (const [index, target] of targets.entries()) {
      const mounted = answers[index] ?? assert.fail();
      assertStatus(mounted, 201, 202);
      await assertMounted(place, { target, content, mounted: mounted.status === 201 });
    }
    assertStatus(await random.pick(clients).send("HEAD", `/v2/race/from/blobs/${digest}`), 404);
  }
});

race("tags and manifests come and go, and no listed tag is unknown", async (place) => {
  const { clients, random } = place;
  const repository = "race/churn";
  const layer = random.bytes(500);
  const configs = Array.from({ length: 4 }, () => random.bytes(64));
  for (const content of [layer, ...configs]) await random.pick(clients).push(repository, content);
  const manifests = configs.map((config) => imageManifest(config, [layer]));
  const act = async (own: Random): Promise<void> => {
    for (let steps = 0; steps < rounds; steps += 1) {
      const client = own.pick(clients);
      const tag = own.pick(["a", "b", "c", "d"]);
      const manifest = own.pick(manifests);
      const target = own.pick([tag, sha256(manifest)]);
      if (own.chance(0.5)) {
        assertStatus(await client.putManifest(repository, tag, manifest), 201);
      } else {
        const gone = await client.send("DELETE", `/v2/${repository}/manifests/${target}`);
        assertStatus(gone, 202, 404);
      }
    }
  };
  await Promise.all(Array.from({ length: 8 }, () => act(random.fork())));
  await assertConsistent(clients, repository);
});

/** Some turns of the event loop later, so that each order comes up. */
async function later(
  { clients, random }: Place,
  act: (client: Client) => Promise<Answer>,
): Promise<Answer> {
  const client = random.pick(clients);
  for (let left = random.integer(0, 4); left > 0; left -= 1) await setImmediate();
  return await act(client);
}

/** Every tag that is listed can be pulled with all that it needs, wherever it is asked for. */
async function assertConsistent(clients: readonly Client[], repository: string): Promise<void> {
  for (const client of clients) {
    for (const tag of await client.tags(repository)) {
      const pulled = await client.get(`/v2/${repository}/manifests/${tag}`);
      assertStatus(pulled, 200);
      await assertComplete(client, repository, pulled);
    }
  }
}

async function assertComplete(client: Client, repository: string, pulled: Answer): Promise<void> {
  assert.equal(sha256(pulled.bytes), pulled.header("docker-content-digest"));
  for (const digest of referencesOf(pulled.bytes)) {
    const blob = await client.get(`/v2/${repository}/blobs/${digest}`);
    assertStatus(blob, 200);
    assert.equal(sha256(blob.bytes), digest);
  }
}

/** What was mounted can be read; what was not has an upload instead, which would push it. */
async function assertMounted(
  { clients, random }: Place,
  mount: { readonly target: string; readonly content: Uint8Array; readonly mounted: boolean },
): Promise<void> {
  const { content, mounted, target } = mount;
  if (!mounted) await random.pick(clients).push(target, content);
  for (const client of clients) {
    const pulled = await client.get(`/v2/${target}/blobs/${sha256(content)}`);
    assertStatus(pulled, 200);
    assert.deepEqual(pulled.bytes, Buffer.from(content));
  }
}
