/** What an operator decides about HTTP itself. */

export interface HttpSettings {
  /** Scheme and host, and perhaps a path, of generated URLs; by default what the request says. */
  readonly host: string | undefined;
  /** Path before `/v2/`, without a slash at its end: `""` or `/registry`. */
  readonly prefix: string;
  /** Locations without scheme and host. */
  readonly relativeUrls: boolean;
  /** Added to each answer of the API. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Whether pulls of blobs are sent to the storage itself, where it can sign a URL for them. */
  readonly redirect: boolean;
  /** Repositories in one page of the catalog, at most. */
  readonly catalogEntriesMax: number;
  /** Tags in one page, where the client asks for a number. */
  readonly tagsPageMax: number;
}

/** Distribution's defaults. */
export const defaultHttpSettings: HttpSettings = {
  host: undefined,
  prefix: "",
  relativeUrls: false,
  headers: [["X-Content-Type-Options", "nosniff"]],
  redirect: true,
  catalogEntriesMax: 1000,
  tagsPageMax: 1000,
};
