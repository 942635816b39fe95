/**
 * `longshore/metadata`: what a database of one's own is made of, and held to.
 *
 *     import { metadataStoreContract, type MetadataStore } from "longshore/metadata";
 *     await metadataStoreContract("mine", async () => openMyStore());   // a test file of node:test
 *
 * @module
 */
export type * from "./commands.ts";
export { metadataStoreContract, type ContractOptions } from "./contract.ts";
export type * from "./metadata-store.ts";
export { MetadataUnavailable } from "./metadata-store.ts";
export type * from "./records.ts";
