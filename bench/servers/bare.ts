/**
 * The calibration's server: `node:http` and nothing else. Prints its port; ends when it is told
 * to.
 */
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { pipeline } from "node:stream";

const BODY = Buffer.alloc(1200, "x");
const PIECE_BYTES = 1024 ** 2;

const file = process.argv[2] ?? "";
const fileBytes = statSync(file).size;

const server = createServer((request, response) => {
  if (request.url === "/file") {
    response.writeHead(200, { "Content-Length": fileBytes });
    pipeline(createReadStream(file, { highWaterMark: PIECE_BYTES }), response, () => undefined);
    return;
  }
  const headers = { "Content-Type": "application/json", "Content-Length": BODY.length };
  response.writeHead(200, headers).end(BODY);
});

server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  if (address !== null && typeof address !== "string") process.stdout.write(`${address.port}\n`);
});
