/** Until when a link or a manifest is promised to stay (invariant I4). */
import type { UpdateResult } from "kysely";
import type { SqlDialect } from "./dialect.ts";
import type { CompiledOnce } from "./plan.ts";
import { statement } from "./prepared.ts";

interface ReviewPlaces extends Record<string, unknown> {
  repository: number;
  id: number;
  reviewAfter: number;
}

type Review = (
  ctx: { readonly dialect: SqlDialect },
  values: ReviewPlaces,
) => CompiledOnce<UpdateResult>;

/** One by one: in a large repository PostgreSQL might look for a list of them among all. */
export const reviewLink: Review = statement((db, place: ReviewPlaces) =>
  db
    .updateTable("repository_blobs")
    .set({ review_after: place.reviewAfter })
    .where("repository", "=", place.repository)
    .where("blob", "=", place.id),
);

export const reviewManifest: Review = statement((db, place: ReviewPlaces) =>
  db
    .updateTable("manifests")
    .set({ review_after: place.reviewAfter })
    .where("repository", "=", place.repository)
    .where("id", "=", place.id),
);
