/**
 * Where the pages of listings begin. Azure goes on with a listing by a marker of its own making,
 * the port by the last key. So markers are remembered; whoever asks for a key that no remembered
 * page has begins at the first page, 5,000 blobs to a request.
 */

interface KnownPage {
  readonly listing: string;
  /** The last key of the page before: what comes after it begins on this page, or later. */
  readonly after: string;
  readonly marker: string;
}

/** For a few listings at a time: whoever is amid a page asks for it again. */
const pagesMax = 32;

export class AzurePages {
  #pages: readonly KnownPage[] = [];

  /** The marker of the last page known that has nothing after `key` before it. */
  find(listing: string, key: string): string | undefined {
    const before = this.#pages.filter((page) => page.listing === listing && page.after <= key);
    return before.toSorted((a, b) => (a.after < b.after ? -1 : 1)).at(-1)?.marker;
  }

  add(page: KnownPage): void {
    const others = this.#pages.filter(
      ({ after, listing }) => listing !== page.listing || after !== page.after,
    );
    this.#pages = [...others, page].slice(-pagesMax);
  }
}
