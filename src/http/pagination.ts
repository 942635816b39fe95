/** The parameters `n` and `last`, and the Link to the next page. spec: end-8. */
import { OciError } from "../oci/errors.ts";
import { formatNextLink, formatPageUrl } from "../oci/link.ts";
import type { RequestContext } from "./request-context.ts";

/** As many digits as a safe integer surely has room for; more is as good as no limit at all. */
const digitsMax = 15;

/** The number of entries asked for; `undefined` when the client leaves it to us. */
export function pageSize(ctx: RequestContext): number | undefined {
  const text = ctx.query.get("n") ?? "";
  if (text === "") return undefined;
  if (!/^[0-9]+$/.test(text)) throw pageSizeInvalid(text);
  return text.length > digitsMax ? Number.MAX_SAFE_INTEGER : Number(text);
}

export function pageSizeInvalid(n: string | number): OciError {
  return new OciError("PAGINATION_NUMBER_INVALID", {
    detail: { n: typeof n === "string" ? n.slice(0, 100) : n },
  });
}

/**
 * A `Link` header to the page after `last`. Relative, and without any other parameter, as clients
 * know it.
 */
export function nextPage(
  ctx: RequestContext,
  path: string,
  parameters: Readonly<Record<string, string | number | undefined>>,
): readonly [string, string] {
  const url = formatPageUrl(`${ctx.settings.prefix}/v2/${path}`, parameters);
  return ["Link", formatNextLink(url)];
}
