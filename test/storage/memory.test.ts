import { blobStoreContract } from "../../src/storage/contract.ts";
import { createMemoryStore } from "../../src/storage/memory.ts";

await blobStoreContract("memory", async () => createMemoryStore({ now: Date.now }));
