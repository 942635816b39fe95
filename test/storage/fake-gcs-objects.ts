/** What lies in a bucket of Google's, and the rules for it. In memory. */
import { createHash, randomBytes } from "node:crypto";

/** An answer that is no success, in the form of its API: reasons are JSON's, codes are XML's. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string = code) {
    super(message);
    this.status = status;
    this.code = code;
  }

  answer(): { readonly contentType: string; readonly body: string } {
    const { code, message, status } = this;
    if (/^[A-Z]/.test(code)) {
      const error = `<Code>${code}</Code><Message>${escapeXml(message)}</Message>`;
      const body = `<?xml version='1.0' encoding='UTF-8'?><Error>${error}</Error>`;
      return { contentType: "application/xml; charset=UTF-8", body };
    }
    const errors = [{ message, domain: "global", reason: code }];
    const body = JSON.stringify({ error: { code: status, message, errors } });
    return { contentType: "application/json; charset=UTF-8", body };
  }
}

interface StoredObject {
  readonly name: string;
  readonly bytes: Buffer;
  readonly updated: number;
}

interface Upload {
  readonly id: string;
  readonly key: string;
  readonly initiated: number;
  readonly parts: Map<number, { readonly etag: string; readonly bytes: Buffer }>;
}

type Query = Readonly<Record<string, string>>;

/** Google's own, in bytes. */
const partBytesMax = 5 * 1024 * 1024 * 1024;
const partsMax = 10_000;
const nameBytesMax = 1024;

export interface FakeGcsObjectsOptions {
  /** Milliseconds UTC. */
  readonly now: () => number;
  readonly pageSize: number;
  /** Of a part that another one follows, in bytes. */
  readonly partBytesMin: number;
}

export class FakeGcsObjects {
  readonly #options: FakeGcsObjectsOptions;
  readonly #objects = new Map<string, StoredObject>();
  readonly #uploads = new Map<string, Upload>();

  constructor(options: FakeGcsObjectsOptions) {
    this.#options = options;
  }

  get uploadCount(): number {
    return this.#uploads.size;
  }

  content(key: string): Buffer {
    return this.#object(key).bytes;
  }

  put(key: string, bytes: Buffer): void {
    if (Buffer.byteLength(key) > nameBytesMax) throw new Refused(400, "invalid", "too long a name");
    this.#objects.set(key, { name: key, bytes, updated: this.#options.now() });
  }

  delete(key: string): void {
    this.#object(key);
    this.#objects.delete(key);
  }

  metadata(key: string, fields: string): object {
    return resource(this.#object(key), fields.split(","));
  }

  /** A token stands for where the next page begins. A page that follows one may be empty. */
  list({ fields = "", maxResults, pageToken, prefix = "", startOffset = "" }: Query): object {
    const match = /^items\(([\w,]+)\),nextPageToken$/.exec(fields);
    if (match === null) throw new Refused(400, "invalidParameter", "fields");
    const from = pageToken === undefined ? startOffset : decode(pageToken);
    const isBreak = pageToken?.startsWith("empty-") === true;
    const max = isBreak ? 0 : Math.min(Number(maxResults ?? 1000), this.#options.pageSize);
    const found = [...this.#objects.values()]
      .filter(({ name }) => name.startsWith(prefix))
      .filter(({ name }) => compare(name, startOffset) >= 0 && compare(name, from) >= 0)
      .toSorted((a, b) => compare(a.name, b.name));
    const items = found.slice(0, max).map((object) => resource(object, match[1]?.split(",") ?? []));
    const next = found[max];
    return {
      // No items: Google leaves the word out.
      ...(items.length > 0 ? { items } : {}),
      ...(next === undefined ? {} : { nextPageToken: encode(next.name, !isBreak) }),
    };
  }

  beginUpload(key: string): string {
    const id = randomBytes(20).toString("base64url");
    this.#uploads.set(id, { id, key, initiated: this.#options.now(), parts: new Map() });
    return `<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`;
  }

  /** Returns the part's ETag. */
  putPart(
    key: string,
    id: string,
    { bytes, number }: { readonly number: number; readonly bytes: Buffer },
  ): string {
    const upload = this.#upload(key, id);
    if (!(number >= 1 && number <= partsMax)) throw new Refused(400, "InvalidArgument");
    if (bytes.byteLength > partBytesMax) throw new Refused(400, "EntityTooLarge");
    const etag = `"${createHash("md5").update(bytes).digest("hex")}"`;
    upload.parts.set(number, { etag, bytes });
    return etag;
  }

  completeUpload(key: string, id: string, xml: string): string {
    const upload = this.#upload(key, id);
    const pattern = /<Part><PartNumber>(\d+)<\/PartNumber><ETag>([^<]+)<\/ETag><\/Part>/g;
    const named = [...xml.matchAll(pattern)];
    const isWhole = xml.replaceAll(pattern, "") === emptyCompletion;
    if (!isWhole || named.length === 0) throw new Refused(400, "MalformedCompleteMultipartUpload");
    let last = 0;
    const parts = named.map(([, digits, etag]) => {
      const number = Number(digits);
      if (number <= last) throw new Refused(400, "InvalidPartOrder");
      last = number;
      const part = upload.parts.get(number);
      if (part === undefined || part.etag !== etag) throw new Refused(400, "InvalidPart");
      return part.bytes;
    });
    const isTooSmall = parts
      .slice(0, -1)
      .some(({ byteLength }) => byteLength < this.#options.partBytesMin);
    if (isTooSmall) throw new Refused(400, "EntityTooSmall");
    this.put(key, Buffer.concat(parts));
    this.#uploads.delete(id);
    const result = `<Key>${escapeXml(key)}</Key><ETag>"${id}"</ETag>`;
    return `<CompleteMultipartUploadResult>${result}</CompleteMultipartUploadResult>`;
  }

  abortUpload(key: string, id: string): void {
    this.#upload(key, id);
    this.#uploads.delete(id);
  }

  listUploads(query: Query): string {
    const { "key-marker": keyMarker, "upload-id-marker": idMarker, prefix = "" } = query;
    const max = Math.min(Number(query["max-uploads"] ?? 1000), this.#options.pageSize);
    const found = [...this.#uploads.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .filter(({ id, key }) => {
        const order = compare(key, keyMarker ?? "");
        if (keyMarker === undefined || order > 0) return true;
        return order === 0 && idMarker !== undefined && compare(id, idMarker) > 0;
      })
      .toSorted((a, b) => compare(a.key, b.key) || compare(a.id, b.id));
    const uploads = found.slice(0, max).map(({ id, initiated, key }) => {
      const begun = new Date(initiated).toISOString();
      const words = `<Key>${escapeXml(key)}</Key><UploadId>${id}</UploadId>`;
      return `<Upload>${words}<Initiated>${begun}</Initiated></Upload>`;
    });
    const more = `<IsTruncated>${found.length > max}</IsTruncated>`;
    return `<ListMultipartUploadsResult>${more}${uploads.join("")}</ListMultipartUploadsResult>`;
  }

  #object(key: string): StoredObject {
    const found = this.#objects.get(key);
    if (found === undefined) throw new Refused(404, "notFound", `No such object: bucket/${key}`);
    return found;
  }

  #upload(key: string, id: string): Upload {
    const upload = this.#uploads.get(id);
    if (upload?.key === key) return upload;
    throw new Refused(404, "NoSuchUpload", "The requested upload was not found.");
  }
}

const emptyCompletion = "<CompleteMultipartUpload></CompleteMultipartUpload>";

function resource(object: StoredObject, fields: readonly string[]): object {
  const all: Readonly<Record<string, string>> = {
    name: object.name,
    // A number of 64 bits is text in JSON.
    size: String(object.bytes.byteLength),
    updated: new Date(object.updated).toISOString(),
  };
  const wanted: Record<string, string> = {};
  for (const field of fields) {
    const value = all[field];
    if (value === undefined) throw new Refused(400, "invalidParameter", `no field ${field}`);
    wanted[field] = value;
  }
  return wanted;
}

/** Byte order of UTF-8. */
function compare(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function encode(name: string, isBreak: boolean): string {
  return `${isBreak ? "empty" : "page"}-${Buffer.from(name).toString("base64url")}`;
}

function decode(token: string): string {
  return Buffer.from(token.slice(token.indexOf("-") + 1), "base64url").toString();
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
