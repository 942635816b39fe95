/** Objects that somebody has deleted from the bucket behind the registry's back. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createRegistry, type EmbeddedRegistry } from "../../src/index.ts";
import { assertStatus, Client } from "../race/support/client.ts";
import { Random, seedFrom } from "../race/support/random.ts";
import type { PostgresServer } from "../servers/postgres.ts";
import type { S3Server } from "../servers/s3.ts";
import { startCeph, startPostgres } from "../servers/servers.ts";
import { TestBucket } from "./support/bucket.ts";
import { createDatabase } from "./support/database.ts";
import { s3Options } from "./support/places.ts";

const random = new Random(seedFrom("HEALING_SEED"));

describe("A blob whose object is gone from the bucket", () => {
  const opened = new AsyncDisposableStack();
  const given: { bucket?: TestBucket; clients: Client[] } = { clients: [] };

  before(async () => {
    const ceph: S3Server = await startCeph();
    opened.defer(() => ceph.stop());
    const postgres: PostgresServer = await startPostgres();
    opened.defer(() => postgres.stop());
    const bucket = await TestBucket.create(ceph);
    opened.defer(() => bucket.close());
    given.bucket = bucket;
    const database = await createDatabase(postgres.endpoint);
    for (let node = 0; node < 2; node += 1) {
      const registry: EmbeddedRegistry = await createRegistry({
        storage: { s3: s3Options(bucket) },
        metadata: { postgres: { url: database.url } },
        http: { redirect: false },
      });
      opened.defer(() => registry.close());
      const served = await registry.serve({ port: 0, host: "127.0.0.1" });
      opened.defer(() => served.close({ drainMs: 0 }));
      const client = new Client(served.url);
      opened.defer(() => client.close());
      given.clients.push(client);
    }
  });
  after(() => opened.disposeAsync());

  // One object as it was sent, and one that was put together from parts.
  for (const size of [4000, 12_000_000]) {
    test(`of ${size} bytes is unknown on every node, and a push heals it`, async () => {
      const { bucket, clients } = given;
      const [first, second] = clients;
      assert(bucket !== undefined && first !== undefined && second !== undefined);
      const content = random.bytes(size);
      const before = await bucket.keys("longshore/data/");
      const target = `/v2/team/app/blobs/${await first.push("team/app", content)}`;
      const now = await bucket.keys("longshore/data/");
      const key = now.find((each) => !before.includes(each));
      assert(key !== undefined);
      await bucket.delete(key);

      for (const client of clients) {
        assertStatus(await client.get(target), 404);
        assertStatus(await client.send("HEAD", target), 404);
      }
      await second.push("team/app", content, "put");
      for (const client of clients) {
        const healed = await client.get(target);
        assertStatus(healed, 200);
        assert(healed.bytes.equals(content));
      }
    });
  }
});
