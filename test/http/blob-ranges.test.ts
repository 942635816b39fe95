/** Parts of a blob, as resumed and lazy pulls ask for them. spec: end-2, RFC 9110 section 14. */
import assert from "node:assert/strict";
import { before, it } from "node:test";
import { expectAnswer, expectError, type Answer } from "./answer.ts";
import { content, noise } from "./content.ts";
import { describeEverywhere, type Given } from "./matrix.ts";
import { pushBlob } from "./pushing.ts";

const size = 5000;
const blob = content(noise(size, "ranges"));
const empty = content("");
const target = `/v2/team/ranges/blobs/${blob.digest}`;

interface Part {
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

/** Takes a multipart body apart as RFC 2046 has it. */
function partsOf(answer: Answer): readonly Part[] {
  const type = answer.required("content-type");
  const boundary = /^multipart\/byteranges; boundary="?([^"]+)"?$/.exec(type)?.[1];
  assert(boundary !== undefined, type);
  const text = Buffer.from(answer.bytes).toString("latin1");
  const pieces = text.split(`--${boundary}`);
  assert.match(pieces[0] ?? "", /^(?:\r\n)?$/);
  assert.match(pieces.at(-1) ?? "", /^--(?:\r\n)?$/);
  return pieces.slice(1, -1).map((piece) => {
    assert(piece.startsWith("\r\n") && piece.endsWith("\r\n"));
    const headEnd = piece.indexOf("\r\n\r\n");
    const lines = piece.slice(2, headEnd).split("\r\n");
    const pairs = lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    });
    return {
      headers: new Headers(pairs),
      bytes: Buffer.from(piece.slice(headEnd + 4, -2), "latin1"),
    };
  });
}

function expectSpan(answer: Answer, start: number, end: number): void {
  expectAnswer(answer, 206, {
    "content-type": "application/octet-stream",
    "content-range": `bytes ${start}-${end}/${size}`,
    "content-length": String(end - start + 1),
    "docker-content-digest": blob.digest,
    etag: `"${blob.digest}"`,
    "accept-ranges": "bytes",
  });
  assert.deepEqual(answer.bytes, blob.bytes.slice(start, end + 1));
}

function expectWhole(answer: Answer): void {
  expectAnswer(answer, 200, { "content-length": String(size), "content-range": undefined });
  assert.deepEqual(answer.bytes, blob.bytes);
}

const single: readonly (readonly [range: string, start: number, end: number])[] = [
  ["bytes=0-0", 0, 0],
  ["bytes=0-9", 0, 9],
  ["bytes=500-1499", 500, 1499],
  ["bytes=4999-4999", 4999, 4999],
  ["bytes=4990-9999999", 4990, 4999],
  ["bytes=0-99999999999999999999", 0, 4999],
  ["bytes=0-", 0, 4999],
  ["bytes=1-", 1, 4999],
  ["bytes=4999-", 4999, 4999],
  ["bytes=-1", 4999, 4999],
  ["bytes=-500", 4500, 4999],
  ["bytes=-5000", 0, 4999],
  ["bytes=-9999", 0, 4999],
  ["BYTES=0-9", 0, 9],
];

function tests(given: Given): void {
  before(async () => {
    await pushBlob(given.client, "team/ranges", blob);
    await pushBlob(given.client, "team/ranges", empty);
  });

  it("is 206 with exactly these bytes: one range, open, or a suffix", async () => {
    for (const [range, start, end] of single) {
      expectSpan(await given.client.get(target, { Range: range }), start, end);
    }
  });

  it("is 416 with the size when no such bytes are there", async () => {
    const { client } = given;
    const ranges = ["bytes=5000-", "bytes=5000-6000", "bytes=-0", "bytes=9-0", "bytes=6000-,7000-"];
    for (const range of ranges) {
      const answer = await client.get(target, { Range: range });
      expectError(answer, 416, "RANGE_INVALID");
      assert.equal(answer.header("content-range"), `bytes */${size}`);
    }
    for (const range of ["bytes=0-", "bytes=0-0"]) {
      const answer = await client.get(`/v2/team/ranges/blobs/${empty.digest}`, { Range: range });
      expectError(answer, 416, "RANGE_INVALID");
      assert.equal(answer.header("content-range"), "bytes */0");
    }
  });

  it("is everything when the header makes no sense, or is of another unit", async () => {
    const values = ["bytes=", "bytes=-", "bytes=a-b", "bytes=5", "bytes 0-5", "lines=0-5", "x", ""];
    for (const range of [...values, "bytes=0-5;6-7", "bytes=0-5,x", "bytes=+1-5", "bytes=1.0-5"]) {
      expectWhole(await given.client.get(target, { Range: range }));
    }
  });

  it("is a multipart body for several ranges, in the order asked for", async () => {
    const { client } = given;
    const wanted = [
      [20, 29],
      [0, 9],
      [4000, 4999],
      [4900, 4999],
    ] as const;
    const answer = await client.get(target, { Range: "bytes=20-29, 0-9,4000-, -100" });
    expectAnswer(answer, 206, { "content-range": undefined, etag: `"${blob.digest}"` });
    const parts = partsOf(answer);
    assert.equal(parts.length, wanted.length);
    for (const [index, [start, end]] of wanted.entries()) {
      const part = parts[index];
      assert.equal(part?.headers.get("content-range"), `bytes ${start}-${end}/${size}`);
      assert.equal(part?.headers.get("content-type"), "application/octet-stream");
      assert.deepEqual(new Uint8Array(part?.bytes ?? []), blob.bytes.slice(start, end + 1));
    }
  });

  it("leaves those of several ranges out which are not there", async () => {
    const { client } = given;
    const answer = await client.get(target, { Range: "bytes=0-9,6000-7000,20-29" });
    expectAnswer(answer, 206);
    const spans = partsOf(answer).map(({ headers }) => headers.get("content-range"));
    assert.deepEqual(spans, [`bytes 0-9/${size}`, `bytes 20-29/${size}`]);
  });

  it("is everything when several ranges come to more than that", async () => {
    const { client } = given;
    expectWhole(await client.get(target, { Range: "bytes=0-,0-" }));
    const many = Array.from({ length: 1000 }, (_, index) => `${index}-${index}`).join(",");
    expectWhole(await client.get(target, { Range: `bytes=${many}` }));
  });

  it("reads as many ranges as lazy snapshotters ask for at once", async () => {
    const { client } = given;
    const starts = Array.from({ length: 50 }, (_, index) => index * 100);
    const ranges = starts.map((start) => `${start}-${start + 9}`).join(",");
    const parts = partsOf(await client.get(target, { Range: `bytes=${ranges}` }));
    const got = Buffer.concat(parts.map(({ bytes }) => bytes));
    assert(got.equals(Buffer.concat(starts.map((start) => blob.bytes.slice(start, start + 10)))));
  });

  it("counts only when If-Range names this very content", async () => {
    const { client } = given;
    const range = { Range: "bytes=10-19" };
    const { digest } = blob;
    expectSpan(await client.get(target, { ...range, "If-Range": `"${digest}"` }), 10, 19);
    const others = ['"x"', `W/"${digest}"`, "Wed, 21 Oct 2015 07:28:00 GMT", "x", '"*"'];
    for (const value of others) {
      expectWhole(await client.get(target, { ...range, "If-Range": value }));
    }
  });

  it("does not matter to HEAD", async () => {
    const { client } = given;
    for (const range of ["bytes=0-9", "bytes=9999-"]) {
      const answer = await client.head(target, { Range: range });
      expectAnswer(answer, 200, { "content-length": String(size), "accept-ranges": "bytes" });
    }
  });
}

describeEverywhere("A range of a blob", tests);
