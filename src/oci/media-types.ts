/** The media types that the registry itself has to know; all others it only stores. */

export const ociManifest = "application/vnd.oci.image.manifest.v1+json";
export const ociIndex = "application/vnd.oci.image.index.v1+json";
export const ociEmptyJson = "application/vnd.oci.empty.v1+json";

export const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
export const dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json";
export const dockerManifestSchema1 = "application/vnd.docker.distribution.manifest.v1+json";
export const dockerManifestSchema1Signed =
  "application/vnd.docker.distribution.manifest.v1+prettyjws";

export const octetStream = "application/octet-stream";

export type ManifestMediaType =
  | typeof ociManifest
  | typeof ociIndex
  | typeof dockerManifest
  | typeof dockerManifestList;

/** What can be pushed to the manifests' endpoint. */
export const manifestMediaTypes: readonly ManifestMediaType[] = [
  ociManifest,
  ociIndex,
  dockerManifest,
  dockerManifestList,
];

const nonDistributableLayers: ReadonlySet<string> = new Set([
  "application/vnd.oci.image.layer.nondistributable.v1.tar",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
  "application/vnd.docker.image.rootfs.foreign.diff.tar",
  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
]);

export function isManifestMediaType(text: string): text is ManifestMediaType {
  return (manifestMediaTypes as readonly string[]).includes(text);
}

/** A layer that lies elsewhere, at its descriptor's URLs; a registry need not hold it. */
export function isNonDistributableLayer(mediaType: string): boolean {
  return nonDistributableLayers.has(mediaType);
}

/**
 * A Content-Type's media type alone: without parameters, in lower case (RFC 9110 section 8.3.1).
 */
export function baseMediaType(headerValue: string): string {
  const semicolon = headerValue.indexOf(";");
  const type = semicolon === -1 ? headerValue : headerValue.slice(0, semicolon);
  return type.trim().toLowerCase();
}
