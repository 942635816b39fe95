import { after, before, describe, it } from "node:test";
/** Bad names, digests, tags, ids, queries and headers on every route: never our fault. */
import fc from "fast-check";
import { Answer } from "../http/answer.ts";
import { content, image, noise } from "../http/content.ts";
import { beginUpload, pushBlob, pushImage } from "../http/pushing.ts";
import { anyText } from "../oci/arbitraries.ts";
import {
  encode,
  headerNames,
  headerValues,
  methods,
  nasty,
  numbers,
  parameters,
  routes,
} from "./corpus.ts";
import { expectSane, startTarget, type Target } from "./target.ts";

const blob = content(noise(5000, "ranges"));
const repository = "team/app";
const manifest = image({ seed: "input" });

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer>;
}

/** Asks the app itself: with paths, too, that no URL can be made of and the edge would refuse. */
async function ask(target: Target, asked: Asked): Promise<Answer> {
  const { body, headers = {}, method, path } = asked;
  const { signal } = new AbortController();
  const given = body === undefined ? null : ReadableStream.from([body]);
  const url = `http://registry.example${path}`;
  const pairs = Object.entries(headers).map(([name, value]): [string, string] => [
    name,
    asHeader(value),
  ]);
  const parts = { method, url, signal, body: given, headers: new Headers(pairs) };
  const answer = await target.handle(parts);
  const bytes = new Uint8Array(await new Response(answer.body).arrayBuffer());
  const made = new Answer(answer.status, answer.headers, bytes);
  expectSane(made, `${method} ${JSON.stringify(path.slice(0, 300))}`);
  return made;
}

/** What can be in a header: Latin-1, without line ends. */
function asHeader(text: string): string {
  return Buffer.from(text)
    .toString("latin1")
    .replaceAll(/[\r\n\0]/g, " ");
}

describe("Every route", () => {
  let target: Target;

  before(async () => {
    target = await startTarget();
    await pushBlob(target.client, repository, blob);
    await pushImage(target.client, repository, manifest, "latest");
  });
  after(() => target.close());

  it("takes any name and anything behind it, as they are and escaped", async () => {
    for (const text of nasty) {
      for (const each of [text, encode(text)]) {
        for (const route of routes) {
          const paths = [
            route({ name: each, last: "latest" }),
            route({ name: repository, last: each }),
            route({ name: `${repository}/${each}`, last: each }),
          ];
          for (const path of paths) {
            for (const method of ["GET", "PUT"]) await ask(target, { method, path });
          }
        }
      }
    }
  });

  it("takes any method", async () => {
    for (const method of methods) {
      for (const route of routes) {
        for (const last of ["latest", blob.digest, "x", ""]) {
          await ask(target, { method, path: route({ name: repository, last }) });
        }
      }
    }
  });

  it("takes any value of any parameter", async () => {
    const last = blob.digest;
    const texts = [...nasty, ...numbers];
    const paths = routes.map((route) => route({ name: repository, last }));
    for (const parameter of parameters) {
      for (const text of texts) {
        for (const path of paths) {
          const query = `${parameter}=${encode(text)}`;
          const method = path.endsWith("uploads/") ? "POST" : "GET";
          await ask(target, { method, path: `${path}?${query}` });
        }
      }
    }
  });

  it("takes any value of any header", async () => {
    const paths = routes.map((route) => route({ name: repository, last: blob.digest }));
    for (const name of headerNames) {
      for (const value of headerValues) {
        for (const path of [...paths, `/v2/${repository}/manifests/latest`]) {
          await ask(target, { method: "GET", path, headers: { [name]: value } });
        }
      }
    }
  });

  it("takes whatever comes together by chance", async () => {
    const texts = fc.oneof(fc.constantFrom(...nasty), fc.constantFrom(...numbers), anyText());
    const values = fc.oneof(texts, texts.map(encode), fc.constantFrom(repository, blob.digest));
    const asked = fc.record({
      method: fc.constantFrom(...methods),
      route: fc.constantFrom(...routes),
      name: values,
      last: values,
      query: fc.array(fc.tuple(fc.constantFrom(...parameters), values), { maxLength: 4 }),
      header: fc.tuple(fc.constantFrom(...headerNames), fc.constantFrom(...headerValues)),
      body: fc.option(fc.uint8Array({ maxLength: 200 }), { nil: undefined }),
    });
    const property = fc.asyncProperty(asked, async (one) => {
      const query = one.query.map(([name, value]) => `${name}=${value}`).join("&");
      const path = `${one.route(one)}${query === "" ? "" : `?${query}`}`;
      const headers = Object.fromEntries([one.header]);
      const body = one.body === undefined ? {} : { body: new Uint8Array(one.body) };
      await ask(target, { method: one.method, path, headers, ...body });
    });
    await fc.assert(property, { numRuns: 1500 });
  });

  it("takes any chunk of an upload", async () => {
    const ranges = fc.oneof(
      fc.constantFrom(...headerValues, ...numbers),
      fc.tuple(fc.integer(), fc.integer()).map(([start, end]) => `${start}-${end}`),
      fc.tuple(fc.nat(9), fc.nat(20)).map(([start, end]) => `bytes ${start}-${end}/*`),
    );
    const chunk = fc.record({
      method: fc.constantFrom("PATCH", "PUT"),
      range: ranges,
      state: fc.oneof(fc.constantFrom(...numbers, ...nasty), fc.nat(20).map(String)),
      length: fc.oneof(fc.constantFrom(...numbers), fc.nat(20).map(String)),
      body: fc.uint8Array({ maxLength: 20 }),
    });
    const property = fc.asyncProperty(chunk, async ({ body, length, method, range, state }) => {
      const location = new URL(await beginUpload(target.client, repository));
      const query = `_state=${encode(state)}&digest=${blob.digest}`;
      const headers = { "Content-Range": range, "Content-Length": length };
      const path = `${location.pathname}?${query}`;
      await ask(target, { method, path, headers, body: new Uint8Array(body) });
      await ask(target, { method: "DELETE", path: location.pathname });
    });
    await fc.assert(property, { numRuns: 300 });
  });
});

describe("A range of a blob", () => {
  let target: Target;

  before(async () => {
    target = await startTarget();
    await pushBlob(target.client, repository, blob);
  });
  after(() => target.close());

  it("is what was asked for, or everything, or nothing, however it is written", async () => {
    const number = fc.oneof(fc.nat(6000), fc.constantFrom("", ...numbers));
    const span = fc.tuple(number, number).map(([start, end]) => `${start}-${end}`);
    const list = fc.array(fc.oneof(span, fc.constantFrom("", " ", "x")), { maxLength: 6 });
    const header = list.map((spans) => `bytes=${spans.join(",")}`);
    const path = `/v2/${repository}/blobs/${blob.digest}`;
    const property = fc.asyncProperty(header, async (range) => {
      const answer = await ask(target, { method: "GET", path, headers: { Range: range } });
      const { bytes, status } = answer;
      fc.pre(status !== 416);
      const found = /^bytes (\d+)-(\d+)\/5000$/.exec(answer.header("content-range") ?? "");
      const [start, end] = found === null ? [0, 4999] : [Number(found[1]), Number(found[2])];
      if (answer.header("content-type")?.startsWith("multipart/") === true) return;
      const expected = blob.bytes.subarray(start, end + 1);
      if (!Buffer.from(bytes).equals(expected)) throw new Error(`${range}: ${answer.toString()}`);
      if (answer.header("content-length") !== String(bytes.byteLength)) {
        throw new Error(`${range}: the length is another`);
      }
    });
    await fc.assert(property, { numRuns: 1000 });
  });
});
