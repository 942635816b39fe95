/** The reads of upkeep: single statements, compiled once. */
import type { Kysely } from "kysely";
import { knownMax } from "../metadata-store.ts";
import type { SqlDialect } from "./dialect.ts";
import { prepare } from "./prepared.ts";
import type { KnownPlaces, PreparedUpkeepReads } from "./rows.ts";
import type { Database } from "./schema.ts";

type Db = Kysely<Database>;

/** Lists are of one length, so that the statement is compiled once: what is not needed is null. */
function known(db: Db): PreparedUpkeepReads["known"] {
  const numbers = Array.from({ length: knownMax }, (_, at) => at);
  return prepare((place: KnownPlaces) => {
    const named = (what: "key" | "digest" | "upload") =>
      numbers.map((at) => place[`${what}${at}`] ?? "");
    return db
      .selectFrom("blobs")
      .select("key as name")
      .where("key", "in", named("key"))
      .union(db.selectFrom("blobs").select("digest as name").where("digest", "in", named("digest")))
      .union(
        db
          .selectFrom("blob_aliases")
          .select("digest as name")
          .where("digest", "in", named("digest")),
      )
      .union(
        db.selectFrom("manifests").select("digest as name").where("digest", "in", named("digest")),
      )
      .union(db.selectFrom("uploads").select("id as name").where("id", "in", named("upload")));
  });
}

function unused(db: Db): PreparedUpkeepReads["unused"] {
  return prepare((place: { after: number; limit: number; now: number }) =>
    db
      .selectFrom("blobs")
      .select(["blobs.id as blobId", "blobs.digest", "blobs.size", "blobs.key"])
      .where("blobs.id", ">", place.after)
      .where("blobs.state", "in", ["live", "missing"])
      .where("blobs.review_after", "is not", null)
      .where("blobs.review_after", "<=", place.now)
      // Looked up for each blob, and not joined: that might read all links there are.
      .where(
        ({ selectFrom }) =>
          selectFrom("repository_blobs")
            .select("repository_blobs.blob")
            .whereRef("repository_blobs.blob", "=", "blobs.id")
            .limit(1),
        "is",
        null,
      )
      .where(
        ({ selectFrom }) =>
          selectFrom("manifests")
            .select("manifests.id")
            .whereRef("manifests.digest", "=", "blobs.digest")
            .limit(1),
        "is",
        null,
      )
      .orderBy("blobs.id")
      .limit(place.limit),
  );
}

function claims(db: Db): PreparedUpkeepReads["claims"] {
  return prepare((place: { after: number; limit: number }) =>
    db
      .selectFrom("blobs")
      .select(["id as blobId", "digest", "size", "key", "claim"])
      .where("id", ">", place.after)
      .where("claim", "is not", null)
      .orderBy("id")
      .limit(place.limit),
  );
}

function idleUploads(db: Db): PreparedUpkeepReads["idleUploads"] {
  return prepare((place: { after: string; limit: number; now: number; idleSince: number }) =>
    db
      .selectFrom("uploads")
      .innerJoin("repositories", "repositories.id", "uploads.repository")
      .selectAll("uploads")
      .select("repositories.name as repositoryName")
      .where("uploads.id", ">", place.after)
      .where("uploads.updated_at", "<=", place.idleSince)
      .where((where) =>
        where.or([
          where("uploads.writer", "is", null),
          where("uploads.writer_until", "<=", place.now),
        ]),
      )
      .orderBy("uploads.id")
      .limit(place.limit),
  );
}

export function prepareUpkeepReads(dialect: SqlDialect): PreparedUpkeepReads {
  const db = dialect.builder;
  return {
    clock: prepare(() => dialect.clock),
    known: known(db),
    unused: unused(db),
    claims: claims(db),
    idleUploads: idleUploads(db),
    identity: prepare(() => db.selectFrom("store").select(["id", "epoch"]).limit(1)),
  };
}
