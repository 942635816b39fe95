import assert from "node:assert/strict";
import { test } from "node:test";
import {
  baseMediaType,
  dockerManifestSchema1,
  isManifestMediaType,
  isNonDistributableLayer,
  manifestMediaTypes,
  ociEmptyJson,
} from "../../src/oci/media-types.ts";

test("a media type stands before its parameters, in any case, with blanks around it", () => {
  const headers = [
    "application/vnd.oci.image.index.v1+json",
    "Application/VND.oci.image.index.v1+JSON",
    " application/vnd.oci.image.index.v1+json ; charset=utf-8",
    "application/vnd.oci.image.index.v1+json;q=1;x=y",
  ];
  for (const header of headers) {
    assert.equal(baseMediaType(header), "application/vnd.oci.image.index.v1+json");
  }
  assert.equal(baseMediaType(""), "");
  assert.equal(baseMediaType(";charset=utf-8"), "");
});

test("four types of manifests can be pushed", () => {
  assert.equal(manifestMediaTypes.length, 4);
  assert.ok(manifestMediaTypes.every(isManifestMediaType));
  for (const other of ["", ociEmptyJson, dockerManifestSchema1, "application/json", "toString"]) {
    assert.ok(!isManifestMediaType(other));
  }
});

test("only the layers that the specs name as such need not be there", () => {
  const prefix = "application/vnd.oci.image.layer";
  for (const suffix of ["tar", "tar+gzip", "tar+zstd"]) {
    assert.ok(isNonDistributableLayer(`${prefix}.nondistributable.v1.${suffix}`));
    assert.ok(!isNonDistributableLayer(`${prefix}.v1.${suffix}`));
  }
  assert.ok(isNonDistributableLayer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"));
  assert.ok(!isNonDistributableLayer("application/vnd.docker.image.rootfs.diff.tar.gzip"));
});
