/** What whoever did not install a vendor's package is told. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { registerHooks } from "node:module";
import { describe, it, type TestContext } from "node:test";
import { createAzureBucket } from "../../src/storage/azure/azure-bucket.ts";
import { createGcsBucket } from "../../src/storage/gcs/gcs-bucket.ts";

/** As if a package were not there, for the time of one test. */
function withoutPackage(t: TestContext, name: string): void {
  const hooks = registerHooks({
    resolve: (specifier, context, next) => {
      if (specifier !== name) return next(specifier, context);
      throw Object.assign(new Error(`Cannot find package '${name}'`), {
        code: "ERR_MODULE_NOT_FOUND",
      });
    },
  });
  t.after(() => hooks.deregister());
}

describe("A vendor's package that is not installed", () => {
  const azure = { accountName: "account", container: "images" };
  const surroundings = { now: Date.now, newId: randomUUID };

  it("is named by an error, for Azure", async (t) => {
    withoutPackage(t, "@azure/storage-blob");
    const opened = createAzureBucket(azure, surroundings);
    await assert.rejects(opened, /storage\.azure needs the package @azure\/storage-blob: npm inst/);
  });

  it("is named by an error, for Azure's identities, which keys do without", async (t) => {
    withoutPackage(t, "@azure/identity");
    const opened = createAzureBucket(azure, surroundings);
    await assert.rejects(opened, /needs the package @azure\/identity: npm install/);
    const credentials = { type: "shared_key", accountKey: "a2V5" } as const;
    const bucket = await createAzureBucket({ ...azure, credentials }, surroundings);
    await bucket.close();
  });

  it("is named by an error, for Google Cloud Storage", async (t) => {
    withoutPackage(t, "@google-cloud/storage");
    const opened = createGcsBucket({ bucket: "images" }, surroundings);
    await assert.rejects(opened, /storage\.gcs needs the package @google-cloud\/storage: npm inst/);
  });
});
