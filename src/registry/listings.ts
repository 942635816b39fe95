import type { Page, ReferrerRecord } from "../metadata/records.ts";
/** What the registry holds, in pages. spec: end-8, end-12; the catalog is Distribution's. */
import type { Digest } from "../oci/digest.ts";
import { OciError } from "../oci/errors.ts";
import type { RepositoryName, Tag } from "../oci/names.ts";
import type { RegistryContext } from "./context.ts";

/** Descriptors in one page of referrers. */
const referrersPageMax = 1000;

/** Bytes of one page of referrers: as much as a manifest may have, since the answer is an index. */
const referrersPageBytes = 4 * 1024 * 1024;

export class Listings {
  readonly #ctx: RegistryContext;

  constructor(ctx: RegistryContext) {
    this.#ctx = ctx;
  }

  async tags(
    repository: RepositoryName,
    page: { readonly after: string; readonly limit: number },
  ): Promise<Page<Tag>> {
    const tags = await this.#ctx.metadata.listTags(repository, page);
    if (tags !== undefined) return tags;
    throw new OciError("NAME_UNKNOWN", { detail: { name: repository } });
  }

  repositories(page: {
    readonly after: string;
    readonly limit: number;
  }): Promise<Page<RepositoryName>> {
    return this.#ctx.metadata.listRepositories(page);
  }

  /** Empty for what nobody refers to, and for what does not exist: the spec knows no 404 here. */
  referrers(
    repository: RepositoryName,
    subject: Digest,
    filter: { readonly artifactType: string | undefined; readonly after: string },
  ): Promise<Page<ReferrerRecord>> {
    const { artifactType, after } = filter;
    return this.#ctx.metadata.listReferrers(repository, subject, {
      after,
      limit: referrersPageMax,
      bytesMax: referrersPageBytes,
      ...(artifactType === undefined ? {} : { artifactType }),
    });
  }
}
