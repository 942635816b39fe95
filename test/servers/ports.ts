/** Ports for servers that a test starts. */
import { createServer } from "node:net";

/**
 * Below the range from which the kernel takes ports for outgoing connections (32768 and up), so
 * that a port stays free while its server restarts.
 */
const portMin = 20_000;
const portMax = 32_000;

/** The first of `count` free ports in a row. */
export async function freePorts(count = 1): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    // By chance, since other tests look for ports at the same time.
    const first = portMin + Math.floor(Math.random() * (portMax - portMin - count));
    if (await areFree(first, count)) return first;
  }
  throw new Error(`No ${count} ports in a row are free`);
}

async function areFree(first: number, count: number): Promise<boolean> {
  for (let port = first; port < first + count; port += 1) {
    if (!(await isFree(port))) return false;
  }
  return true;
}

function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = createServer();
  probe.once("error", () => resolve(false));
  probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => {
    probe.close(() => resolve(true));
  });
  return promise;
}
