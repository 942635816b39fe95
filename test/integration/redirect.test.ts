/** Clients that are sent to the storage itself get the bytes there, and nobody else does. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { createRegistry } from "../../src/index.ts";
import { Client } from "../race/support/client.ts";
import { Random, seedFrom, sha256 } from "../race/support/random.ts";
import { closePlaces, makePlace } from "./support/places.ts";

const random = new Random(seedFrom("REDIRECT_SEED"));

after(closePlaces);

for (const storage of ["ceph", "swift", "azurite"] as const) {
  describe(`A blob on ${storage}`, () => {
    it("is a redirect to a signed URL, which gives its bytes, whole and in ranges", async (t) => {
      const place = await makePlace(storage, "sqlite");
      t.after(() => place.remove());
      const registry = await createRegistry(place);
      t.after(() => registry.close());
      const served = await registry.serve({ port: 0, host: "127.0.0.1" });
      t.after(() => served.close({ drainMs: 0 }));
      const client = new Client(served.url);
      t.after(() => client.close());

      // One object as it was sent, and one that was put together from parts.
      for (const size of [1000, 6 * 1024 * 1024]) {
        const content = random.bytes(size);
        const target = `/v2/team/app/blobs/${await client.push("team/app", content)}`;
        for (const method of ["GET", "HEAD"]) {
          const answer = await client.send(method, target);
          assert.equal(answer.status, 307);
          assert.equal(answer.header("docker-content-digest"), sha256(content));
          const location = answer.header("location") ?? "";
          assert.equal((await fetch(location, { method })).status, 200);
        }
        const location = (await client.get(target)).header("location") ?? "";
        const whole = new Uint8Array(await (await fetch(location)).arrayBuffer());
        assert.equal(sha256(whole), sha256(content));
        const part = await fetch(location, { headers: { Range: "bytes=10-99" } });
        assert.equal(part.status, 206);
        const bytes = new Uint8Array(await part.arrayBuffer());
        assert.deepEqual(bytes, content.subarray(10, 100));
        const [unsigned = ""] = location.split("?");
        assert.notEqual((await fetch(unsigned)).status, 200, "the address alone is not enough");
      }
    });
  });
}
