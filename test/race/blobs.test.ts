/** Many clients push the same content at once. */
import assert from "node:assert/strict";
import { assertStatus, pushMethods } from "./support/client.ts";
import { assertIntact, race, strayFiles } from "./support/places.ts";
import { raceRounds, sha256 } from "./support/random.ts";

const clientCount = 32;
const rounds = Math.ceil(raceRounds() / 4);

race("32 clients push the same blob, and all of them are told it is there", async (place) => {
  const { clients, random, root } = place;
  const digests: string[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const content = random.bytes(random.integer(2, round % 2 === 0 ? 2_000 : 600_000));
    const pushes = Array.from({ length: clientCount }, async () => {
      const client = random.pick(clients);
      const repository = random.pick(["race/one", "race/two"]);
      const method = random.pick(pushMethods);
      assertStatus(await client.tryPush(repository, content, method), 201);
      // Whoever was told may read at once, from any of the servers.
      const pulled = await random.pick(clients).get(`/v2/${repository}/blobs/${sha256(content)}`);
      assertStatus(pulled, 200);
      assert.deepEqual(pulled.bytes, Buffer.from(content));
    });
    await Promise.all(pushes);
    digests.push(sha256(content));
  }
  assert.deepEqual([...(await assertIntact(root))].toSorted(), digests.toSorted(), "one copy each");
  assert.deepEqual(await strayFiles(root), []);
});
