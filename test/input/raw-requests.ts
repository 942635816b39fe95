/** Requests as bytes: what is wrong with them no HTTP client would send. */
import { requestText } from "../http/raw-connection.ts";

const crlf = "\r\n";
const host = "Host: registry.example";
const upload = "/v2/team/app/blobs/uploads/";

/** Paths that two layers could read differently: refused before anything looks for a route. */
export const refusedTargets: readonly string[] = [
  "/v2/.",
  "/v2/..",
  "/v2/./",
  "/v2/../v2/",
  "/v2/team/../app/tags/list",
  "/v2/team/app/tags/list/..",
  "/../../../../etc/passwd",
  "/v2/%2e%2e/tags/list",
  "/v2/.%2E/tags/list",
  "/v2/%2e/tags/list",
  "//",
  "//v2/",
  "/v2//",
  "/v2//team/tags/list",
  "/v2/team//app/tags/list",
  "/v2/team/app//tags/list",
  "/v2/team%2fapp/tags/list",
  "/v2/team%2Fapp/manifests/latest",
  "/v2/team%5capp/tags/list",
  "/v2/team\\app/tags/list",
  "\\v2\\",
  "/v2/team%00/tags/list",
  "/v2/team/tags/list%00",
  "/v2/te%0d%0aam/tags/list",
  "/v2/te%1fam/tags/list",
  "/v2/te%7fam/tags/list",
  "/v2/100%/tags/list",
  "/v2/%/tags/list",
  "/v2/%zz/tags/list",
  "/v2/%2/tags/list",
  "/v2/caf\u00e9/tags/list",
  "/v2/\u00ff\u00fe/tags/list",
  '/v2/"quoted"/tags/list',
  "/v2/<tag>/tags/list",
  "/v2/{a}/tags/list",
  "/v2/a|b/tags/list",
  "/v2/a^b/tags/list",
  "/v2/`a`/tags/list",
  "*",
  "v2/",
  "?",
  "ftp://registry.example/v2/",
  "file:///etc/passwd",
  "http:/v2/",
  "http://registry.example/v2/../v2/",
  "http://user:password@registry.example/v2/",
  "http://regis try.example/v2/",
  "http:///v2/",
  "https://[::1/v2/",
  "http://registry.example:99999999/v2/",
];

/** Requests that are to be refused, and after which the connection cannot go on. */
export const malformedRequests: readonly (readonly [what: string, bytes: string])[] = [
  ["no HTTP at all", `hello${crlf}${crlf}`],
  ["a TLS greeting", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abcdefgh\r\n\r\n"],
  ["the preface of HTTP/2", `PRI * HTTP/2.0${crlf}${crlf}SM${crlf}${crlf}`],
  ["HTTP/0.9", `GET /v2/${crlf}`],
  ["an unknown version", `GET /v2/ HTTP/9.9${crlf}${host}${crlf}${crlf}`],
  ["a version that is none", `GET /v2/ HTTP/x${crlf}${host}${crlf}${crlf}`],
  ["a method in small letters", `get /v2/ HTTP/1.1${crlf}${host}${crlf}${crlf}`],
  ["an unknown method", `BREW /v2/ HTTP/1.1${crlf}${host}${crlf}${crlf}`],
  ["a long method", `${"A".repeat(5000)} /v2/ HTTP/1.1${crlf}${host}${crlf}${crlf}`],
  ["a space in the target", `GET /v2/ x HTTP/1.1${crlf}${host}${crlf}${crlf}`],
  ["a NUL in the target", `GET /v2/\0 HTTP/1.1${crlf}${host}${crlf}${crlf}`],
  ["a tab in the target", `GET /v2/\tx HTTP/1.1${crlf}${host}${crlf}${crlf}`],
  ["a long target", requestText(`GET /v2/${"a".repeat(100_000)}/tags/list`)],
  ["a long query", requestText(`GET /v2/_catalog?last=${"a".repeat(100_000)}`)],
  ["no Host", `GET /v2/ HTTP/1.1${crlf}${crlf}`],
  ["two Hosts", requestText("GET /v2/", ["Host: other.example"])],
  ["an empty Host", `GET /v2/ HTTP/1.1${crlf}Host:${crlf}${crlf}`],
  ["a Host that is none", `GET /v2/ HTTP/1.1${crlf}Host: a/b?c${crlf}${crlf}`],
  ["a Host with a name before it", `GET /v2/ HTTP/1.1${crlf}Host: me@registry${crlf}${crlf}`],
  ["a header without a colon", requestText("GET /v2/", ["nonsense"])],
  ["a header without a name", requestText("GET /v2/", [": value"])],
  ["a space before a header's colon", requestText("GET /v2/", ["X-Test : value"])],
  ["a folded header", requestText("GET /v2/", ["X-Test: one", " two"])],
  ["a NUL in a header", requestText("GET /v2/", ["X-Test: a\0b"])],
  ["a bare carriage return in a header", requestText("GET /v2/", ["X-Test: a\rb"])],
  ["a NUL in a header's name", requestText("GET /v2/", ["X-\0Test: a"])],
  ["a large header", requestText("GET /v2/", [`X-Test: ${"x".repeat(64 * 1024)}`])],
  ["many headers", requestText("GET /v2/", manyHeaders(5000))],
  ["many small headers", requestText("GET /v2/", manyHeaders(300))],
  ["a length and chunks", framed(["Content-Length: 3", "Transfer-Encoding: chunked"], "0")],
  ["chunks and a length", framed(["Transfer-Encoding: chunked", "Content-Length: 3"], "0")],
  ["two lengths", framed(["Content-Length: 3", "Content-Length: 4"], "abcd")],
  ["a list of lengths", framed(["Content-Length: 3, 4"], "abcd")],
  ["a negative length", framed(["Content-Length: -1"])],
  ["a length with a sign", framed(["Content-Length: +3"], "abc")],
  ["a hexadecimal length", framed(["Content-Length: 0x3"], "abc")],
  ["a fractional length", framed(["Content-Length: 3.0"], "abc")],
  ["a length of no digits", framed(["Content-Length: abc"], "abc")],
  ["a length beyond all numbers", framed([`Content-Length: ${"9".repeat(50)}`], "abc")],
  ["chunks and something else", framed(["Transfer-Encoding: chunked, identity"], "0")],
  ["something else than chunks", framed(["Transfer-Encoding: gzip"], "abc")],
  ["two codings", framed(["Transfer-Encoding: gzip, chunked"], "0")],
  ["chunks that are none", framed(["Transfer-Encoding: xchunked"], "0")],
  ["an unknown expectation", framed(["Expect: miracles", "Content-Length: 3"], "abc")],
];

/** What may follow the head of an upload that was accepted: the body itself is broken. */
export const brokenChunks: readonly (readonly [what: string, body: string])[] = [
  ["a size that is none", "xyz\r\nabc\r\n"],
  ["a negative size", "-3\r\nabc\r\n"],
  ["a size beyond all numbers", "ffffffffffffffffff\r\nabc\r\n"],
  ["a chunk longer than its size", "3\r\nabcdef\r\n0\r\n\r\n"],
  ["a chunk without its end", "3\r\nabcX\r\n"],
  ["a long extension", `3;x=${"x".repeat(100_000)}\r\nabc\r\n0\r\n\r\n`],
  ["a trailer without a colon", "3\r\nabc\r\n0\r\nnonsense\r\n\r\n"],
  ["large trailers", `3\r\nabc\r\n0\r\nX-Test: ${"x".repeat(100_000)}\r\n\r\n`],
];

function manyHeaders(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `X-${index}: x`);
}

function framed(headers: readonly string[], body = ""): string {
  return requestText(`POST ${upload}?digest=sha256:x`, headers, body);
}
