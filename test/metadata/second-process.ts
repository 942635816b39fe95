/**
 * A process that shares a database with a test. It opens the database of its first argument when it
 * is told to, and then does what its second argument says: `open` just ends; `push` pushes as many
 * manifests as the third argument says, each under a tag `second-<n>`, and names each that was
 * answered; `die` does the same and kills itself.
 */
import { once } from "node:events";
import process from "node:process";
import { indexDocument } from "../../src/metadata/contract-documents.ts";
import { Scene } from "../../src/metadata/contract-scene.ts";
import { openSqliteStore } from "../../src/metadata/sqlite/sqlite-store.ts";

const [path = "", action = "open", count = "0"] = process.argv.slice(2);

process.stdout.write("ready\n");
await once(process.stdin, "data");
const store = await openSqliteStore({ path });
const scene = new Scene("shared", store);
if (action !== "open") {
  for (let index = 0; index < Number(count); index += 1) {
    const tag = `second-${index}`;
    await scene.put(scene.repository(), indexDocument({ note: tag }), { tags: [tag] });
    process.stdout.write(`${tag}\n`);
  }
}
if (action === "die") process.kill(process.pid, "SIGKILL");
await store.close();
process.stdin.destroy();
