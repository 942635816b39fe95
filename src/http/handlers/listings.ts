/** The catalog, tags, and referrers. spec: end-8, end-12. */
import { ociIndex } from "../../oci/media-types.ts";
import type { ReferrerRecord } from "../../registry/registry.ts";
import { jsonAnswer } from "../answers.ts";
import { nextPage, pageSize, pageSizeInvalid } from "../pagination.ts";
import { readDigest } from "../request-context.ts";
import type { Handler, MethodTable } from "./handler.ts";

/** Repositories in a page when the client names no number, as in Distribution. */
const catalogPageDefault = 100;

/**
 * Tags in an answer when the client names no number: all of any real repository, and yet bounded.
 */
const tagsUnpagedMax = 50_000;

const listRepositories: Handler = async (ctx) => {
  const max = ctx.settings.catalogEntriesMax;
  const n = pageSize(ctx) ?? Math.min(catalogPageDefault, max);
  if (n > max) throw pageSizeInvalid(n);
  if (n === 0) return jsonAnswer(200, JSON.stringify({ repositories: [] }));
  const after = ctx.query.get("last") ?? "";
  const page = await ctx.registry.listings.repositories({ after, limit: n });
  const last = page.items.at(-1);
  const links = page.more ? [nextPage(ctx, "_catalog", { last, n })] : [];
  return jsonAnswer(200, JSON.stringify({ repositories: page.items }), links);
};

const listTags: Handler = async (ctx) => {
  const name = ctx.repository();
  const asked = pageSize(ctx);
  const n = asked === undefined ? undefined : Math.min(asked, ctx.settings.tagsPageMax);
  const after = ctx.query.get("last") ?? "";
  // With n = 0 the repository is looked up all the same: an unknown one is a 404.
  const limit = n === undefined ? tagsUnpagedMax : Math.max(1, n);
  const page = await ctx.registry.listings.tags(name, { after, limit });
  const tags = n === 0 ? [] : page.items;
  const links =
    page.more && n !== 0 ? [nextPage(ctx, `${name}/tags/list`, { last: tags.at(-1), n })] : [];
  return jsonAnswer(200, JSON.stringify({ name, tags }), links);
};

const listReferrers: Handler = async (ctx) => {
  const name = ctx.repository();
  const subject = ctx.digest();
  const artifactType = ctx.query.get("artifactType") ?? undefined;
  const last = ctx.query.get("last") ?? "";
  const after = last === "" ? "" : readDigest(last);
  const page = await ctx.registry.listings.referrers(name, subject, { artifactType, after });
  const headers: (readonly [string, string])[] = [];
  if (artifactType !== undefined) headers.push(["OCI-Filters-Applied", "artifactType"]);
  if (page.more) {
    const parameters = { artifactType, last: page.items.at(-1)?.digest };
    headers.push(nextPage(ctx, `${name}/referrers/${subject}`, parameters));
  }
  const quoted = new Map<string, string>();
  const manifests = page.items.map((record) => descriptorJson(record, quoted)).join(",");
  const index = `{"schemaVersion":2,"mediaType":"${ociIndex}","manifests":[${manifests}]}`;
  const made = jsonAnswer(200, index, headers);
  const typed = made.headers.map(([key, value]) =>
    key === "Content-Type" ? ([key, ociIndex] as const) : ([key, value] as const),
  );
  return { ...made, headers: typed };
};

/**
 * Annotations are stored as JSON text and go out as they are: they may be most of a large answer.
 * `quoted` keeps media types as JSON: a page has few different ones.
 */
function descriptorJson(record: ReferrerRecord, quoted: Map<string, string>): string {
  const { annotationsJson, artifactType, digest, mediaType, size } = record;
  const quote = (text: string): string => {
    const json = quoted.get(text) ?? JSON.stringify(text);
    quoted.set(text, json);
    return json;
  };
  const type = artifactType === undefined ? "" : `,"artifactType":${quote(artifactType)}`;
  const annotations = annotationsJson === undefined ? "" : `,"annotations":${annotationsJson}`;
  return `{"mediaType":${quote(mediaType)},"size":${size},"digest":"${digest}"${type}${annotations}}`;
}

export const catalog: MethodTable = { GET: listRepositories };
export const tags: MethodTable = { GET: listTags };
export const referrers: MethodTable = { GET: listReferrers };
