/**
 * Which addresses are AWS's, by the list that AWS publishes. It is fetched behind the requests: a
 * pull never waits for it, and until it is there nobody counts as being within AWS.
 */
import { BlockList, isIP } from "node:net";

const awsUrl = "https://ip-ranges.amazonaws.com/ip-ranges.json";

/** AWS changes it several times a week. */
const defaultUpdateFrequencyMs = 12 * 60 * 60 * 1000;

/** The list has some 2 MB. */
const listBytesMax = 16 * 1024 * 1024;

const fetchMs = 30_000;

/** After a failure, so that a list that cannot be had is not asked for with each pull. */
const retryMs = 60_000;

export interface AwsAddressesOptions {
  readonly url: string | undefined;
  /** Lower case; `undefined` for all. */
  readonly regions: readonly string[] | undefined;
  readonly updateFrequencyMs: number | undefined;
  /** Milliseconds. */
  readonly now: () => number;
  readonly fetch: typeof fetch;
  readonly report: (problem: string, error: unknown) => void;
}

export class AwsAddresses {
  readonly #options: AwsAddressesOptions;
  readonly #closing = new AbortController();
  #list: BlockList | undefined;
  /** When the list is to be fetched next. While it is being fetched, never. */
  #dueAt = -Infinity;

  constructor(options: AwsAddressesOptions) {
    this.#options = options;
    this.#refreshWhenDue();
  }

  /** Answers by what is known now. */
  includes(address: string): boolean {
    this.#refreshWhenDue();
    const family = isIP(address);
    if (this.#list === undefined || family === 0) return false;
    return this.#list.check(address, family === 4 ? "ipv4" : "ipv6");
  }

  close(): void {
    this.#closing.abort();
  }

  #refreshWhenDue(): void {
    if (this.#options.now() < this.#dueAt || this.#closing.signal.aborted) return;
    this.#dueAt = Infinity;
    void this.#refresh();
  }

  async #refresh(): Promise<void> {
    const { now, report, updateFrequencyMs = defaultUpdateFrequencyMs } = this.#options;
    try {
      this.#list = await this.#fetchList();
      this.#dueAt = now() + updateFrequencyMs;
    } catch (error) {
      this.#dueAt = now() + Math.min(retryMs, updateFrequencyMs);
      if (this.#closing.signal.aborted) return;
      report("the list of AWS's addresses could not be fetched; CloudFront serves all", error);
    }
  }

  async #fetchList(): Promise<BlockList> {
    const { fetch, url = awsUrl } = this.#options;
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(fetchMs)]);
    const response = await fetch(url, { signal });
    if (!response.ok || response.body === null) {
      await response.body?.cancel();
      throw new Error(`the answer's status is ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of response.body as ReadableStream<Uint8Array>) {
      bytes += chunk.byteLength;
      if (bytes > listBytesMax) throw new Error(`the list has more than ${listBytesMax} bytes`);
      chunks.push(chunk);
    }
    return parseRanges(Buffer.concat(chunks).toString("utf8"), this.#options.regions);
  }
}

/** Entries that are no networks are passed over; a text that is no such list is an error. */
function parseRanges(text: string, regions: readonly string[] | undefined): BlockList {
  const document: unknown = JSON.parse(text);
  const list = new BlockList();
  const v4 = entriesOf(document, "prefixes", "ip_prefix");
  const v6 = entriesOf(document, "ipv6_prefixes", "ipv6_prefix");
  for (const { network, region } of [...v4, ...v6]) {
    if (regions !== undefined && !regions.includes(region.toLowerCase())) continue;
    const [address = "", bits = ""] = network.split("/");
    const family = isIP(address);
    const length = /^[0-9]{1,3}$/.test(bits) ? Number(bits) : Infinity;
    if (family === 0 || length > (family === 4 ? 32 : 128)) continue;
    list.addSubnet(address, length, family === 4 ? "ipv4" : "ipv6");
  }
  return list;
}

function entriesOf(
  document: unknown,
  name: string,
  field: string,
): readonly { readonly network: string; readonly region: string }[] {
  const entries = propertyOf(document, name);
  if (!Array.isArray(entries)) throw new Error(`the list has no ${name}`);
  return entries.flatMap((entry: unknown) => {
    const network = propertyOf(entry, field);
    const region = propertyOf(entry, "region");
    return typeof network === "string" && typeof region === "string" ? [{ network, region }] : [];
  });
}

function propertyOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return (value as Record<string, unknown>)[name];
}
