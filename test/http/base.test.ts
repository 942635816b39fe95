/** The base of the API, and what all of its answers have in common. spec: end-1, error codes. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { expectAnswer, expectError } from "./answer.ts";
import { digestOf, noise } from "./content.ts";
import { describeRegistry } from "./matrix.ts";

const digest = digestOf(noise(10, "nobody has pushed this"));

/** Endpoints with what they answer to, in Distribution's words where it has them. */
const methodTables: readonly (readonly [target: string, allowed: readonly string[]])[] = [
  ["/v2/_catalog", ["GET"]],
  ["/v2/_oci/ext/discover", ["GET"]],
  ["/v2/team/app/tags/list", ["GET"]],
  [`/v2/team/app/referrers/${digest}`, ["GET"]],
  ["/v2/team/app/manifests/latest", ["GET", "HEAD", "PUT", "DELETE"]],
  [`/v2/team/app/blobs/${digest}`, ["GET", "HEAD", "DELETE"]],
  ["/v2/team/app/blobs/uploads/", ["POST"]],
  ["/v2/team/app/blobs/uploads/x", ["GET", "HEAD", "PATCH", "PUT", "DELETE"]],
];

describeRegistry("The base (end-1)", (given) => {
  it("says that this is a registry", async () => {
    const answer = await given.client.get("/v2/");
    expectAnswer(answer, 200, { "content-type": "application/json", "content-length": "2" });
    assert.equal(answer.text(), "{}");
  });

  it("says so to HEAD, and without the last slash", async () => {
    expectAnswer(await given.client.head("/v2/"), 200, { "content-length": "2" });
    expectAnswer(await given.client.get("/v2"), 200);
  });

  it("says so to any method, as Distribution does", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      expectAnswer(await given.client.send(method, "/v2/"), 200);
    }
  });

  it("is alive at the root, with nothing to say", async () => {
    const answer = await given.client.get("/");
    expectAnswer(answer, 200, { "cache-control": "no-cache", "content-length": "0" });
  });

  it("lists the extensions, of the registry and of a repository", async () => {
    const { client } = given;
    for (const target of ["/v2/_oci/ext/discover", "/v2/team/app/_oci/ext/discover"]) {
      const answer = await client.get(target);
      expectAnswer(answer, 200, { "content-type": "application/json" });
      assert.deepEqual(answer.json(), { extensions: [] });
    }
    const invalid = await client.get("/v2/UPPER/_oci/ext/discover");
    expectError(invalid, 400, "NAME_INVALID");
  });
});

describeRegistry("Any answer", (given) => {
  it("is an envelope where there is no endpoint", async () => {
    const { client } = given;
    const targets = ["/nowhere", "/v1/", "/v2x", "/v2/team", "/v2/team/app/", "/v2/team/app/tags"];
    for (const target of targets) {
      expectAnswer(await client.get(target), 404);
    }
  });

  it("names the allowed methods with a 405", async () => {
    const { client } = given;
    for (const [target, allowed] of methodTables) {
      for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE"]) {
        if (allowed.includes(method)) continue;
        const answer = await client.send(method, target);
        expectError(answer, 405, "UNSUPPORTED");
        assert.deepEqual(answer.list("allow").toSorted(), allowed.toSorted());
      }
    }
  });

  it("names the allowed methods to OPTIONS", async () => {
    for (const [target, allowed] of methodTables) {
      const answer = await given.client.send("OPTIONS", target);
      expectAnswer(answer, 200);
      assert.deepEqual(answer.list("allow").toSorted(), allowed.toSorted());
    }
  });

  it("has a request id of its own, or the client's where that is harmless", async () => {
    const { client } = given;
    const [one, other] = [await client.get("/v2/"), await client.get("/v2/")];
    assert.notEqual(one.required("x-request-id"), other.required("x-request-id"));
    const id = "0af7651916cd43dd:8448.eb-211c_80319c";
    expectAnswer(await client.get("/v2/", { "X-Request-Id": id }), 200, { "x-request-id": id });
    for (const harmful of ["", "with space", "a".repeat(65), "<script>"]) {
      const answer = await client.get("/v2/", { "X-Request-Id": harmful });
      assert.notEqual(answer.required("x-request-id"), harmful);
    }
  });

  it("has the headers that the operator adds, errors too", async () => {
    const headers: [string, string][] = [
      ["X-Content-Type-Options", "nosniff"],
      ["X-Test", "one"],
      ["X-Test", "two"],
    ];
    const { client } = await given.start({ http: { headers } });
    for (const target of ["/v2/", "/v2/_catalog?n=x", "/v2/team/app/manifests/1", "/v2/team"]) {
      const answer = await client.get(target);
      assert.deepEqual(answer.list("x-test"), ["one", "two"]);
    }
  });

  it("refuses a repository's name outside of the grammar, wherever it stands", async () => {
    const { client } = given;
    const names = ["A", "a_", "-a", "a..b", "a.-b", "a___b", "host:5000/a", "a".repeat(256)];
    for (const name of names) {
      for (const [method, rest] of [
        ["GET", "tags/list"],
        ["GET", "manifests/latest"],
        ["HEAD", "manifests/latest"],
        ["PUT", "manifests/latest"],
        ["DELETE", "manifests/latest"],
        ["GET", `blobs/${digest}`],
        ["DELETE", `blobs/${digest}`],
        ["POST", "blobs/uploads/"],
        ["POST", `blobs/uploads/?mount=${digest}&from=team/app`],
        ["PATCH", "blobs/uploads/x"],
        ["GET", `referrers/${digest}`],
      ] as const) {
        const answer = await client.send(method, `/v2/${name}/${rest}`);
        if (method === "HEAD") expectAnswer(answer, 400);
        else expectError(answer, 400, "NAME_INVALID");
      }
    }
  });

  it("takes names up to 255 characters, and those that look like the API's own words", async () => {
    const { client } = given;
    const names = [
      "a".repeat(255),
      "a/blobs/uploads/b",
      "manifests",
      "a/tags/list/b",
      "a--b/c__d.e",
    ];
    for (const name of names) {
      const answer = await client.post(`/v2/${name}/blobs/uploads/`);
      expectAnswer(answer, 202);
      const { pathname } = new URL(answer.required("location"));
      assert(pathname.startsWith(`/v2/${name}/blobs/uploads/`), pathname);
      expectAnswer(await client.get(answer.required("location")), 204);
    }
  });
});
