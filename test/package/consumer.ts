/** A program of somebody who has installed the package: type-checked and run from its folder. */
import { createHash } from "node:crypto";
import { createRegistry } from "longshore";

const content = "a layer";
const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;

const registry = await createRegistry({ storage: "memory" });
const call = (path: string, init?: RequestInit): Promise<Response> =>
  registry.fetch(new Request(`http://localhost/v2/${path}`, init));

const pushed = await call(`a/b/blobs/uploads/?digest=${digest}`, { method: "POST", body: content });
const pulled = await call(`a/b/blobs/${digest}`);
console.log(pushed.status, pulled.status, await pulled.text());
await registry.close();
