/**
 * The app: every request gets an answer, in the protocol's form. Request id, route, handler,
 * errors, common headers, and a word to whoever observes.
 */
import { OciError } from "../oci/errors.ts";
import type { Registry } from "../registry/registry.ts";
import { answerForError, emptyAnswer, errorAnswer, type HeaderList } from "./answers.ts";
import type { Answer, Handle, IncomingRequest } from "./exchange.ts";
import { base, discover } from "./handlers/base.ts";
import { blob } from "./handlers/blobs.ts";
import type { MethodTable } from "./handlers/handler.ts";
import { catalog, referrers, tags } from "./handlers/listings.ts";
import { manifest } from "./handlers/manifests.ts";
import { upload, uploads } from "./handlers/uploads.ts";
import { RequestContext } from "./request-context.ts";
import { matchRoute, type MatchedRoute, type RouteName } from "./route-table.ts";
import type { HttpSettings } from "./settings.ts";
import { pathStart } from "./urls.ts";

const routes: Readonly<Record<RouteName, MethodTable>> = {
  base,
  catalog,
  discover,
  tags,
  manifest,
  blob,
  uploads,
  upload,
  referrers,
};

/** A request that was answered. */
export interface Observation {
  readonly request: IncomingRequest;
  readonly requestId: string;
  readonly route: RouteName | "none";
  readonly answer: Answer;
  /** Milliseconds until the answer's headers were ready. */
  readonly durationMs: number;
  /** What made it fail, where it did. */
  readonly error: unknown;
}

export interface AppOptions {
  readonly registry: Registry;
  readonly settings: HttpSettings;
  readonly observe: (observation: Observation) => void;
  /** Monotonic, ms. */
  readonly clock: () => number;
  readonly newRequestId: () => string;
}

export function createApp(options: AppOptions): Handle {
  const { clock, newRequestId, observe, settings } = options;
  const common: HeaderList = [["Docker-Distribution-API-Version", "registry/2.0"]];
  return async (request) => {
    const started = clock();
    const requestId = readRequestId(request) ?? newRequestId();
    const url = request.url;
    const start = pathStart(url);
    const queryAt = url.indexOf("?", start);
    const path = url.slice(start, queryAt === -1 ? url.length : queryAt);
    const query = queryAt === -1 ? "" : url.slice(queryAt + 1);
    if (path === "/" || path === "") return emptyAnswer(200, [["Cache-Control", "no-cache"]]);
    const route = routeOf(path, settings.prefix);
    let answered: Answer;
    let error: unknown;
    if (route === undefined) {
      answered = errorAnswer(notFound());
    } else {
      const { registry } = options;
      const ctx = new RequestContext({ id: requestId, request, registry, settings, route, query });
      try {
        answered = await dispatch(ctx);
      } catch (caught) {
        error = caught;
        answered = failure(caught, ctx);
      }
    }
    const headers: HeaderList = [
      ...answered.headers,
      ...common,
      ["X-Request-Id", requestId],
      ...settings.headers,
    ];
    // spec: RFC 9110 9.3.2, the answer to a HEAD has no body, nor has an error's.
    const body = request.method === "HEAD" ? null : answered.body;
    const complete: Answer = { ...answered, headers, body };
    const durationMs = clock() - started;
    const name = route?.route ?? "none";
    observe({ request, requestId, route: name, answer: complete, durationMs, error });
    return complete;
  };
}

/**
 * Some clients encode the colon of a digest. An encoded slash would move the borders of a name, so
 * it is none of ours; the carrier has refused it already, with all else that is malformed.
 */
function routeOf(path: string, prefix: string): MatchedRoute | undefined {
  if (!path.startsWith(prefix)) return undefined;
  const below = path.slice(prefix.length);
  if (!below.includes("%")) return matchRoute(below);
  if (/%2f|%5c|%00/i.test(below)) return undefined;
  try {
    return matchRoute(decodeURIComponent(below));
  } catch {
    return undefined;
  }
}

async function dispatch(ctx: RequestContext): Promise<Answer> {
  const table = routes[ctx.route.route];
  const handler = table[ctx.method];
  if (handler !== undefined) return await handler(ctx);
  const allow = ["Allow", Object.keys(table).join(", ")] as const;
  if (ctx.method === "OPTIONS") return emptyAnswer(200, [allow]);
  const error = new OciError("UNSUPPORTED", {
    message: "the method is not one of this endpoint's",
  });
  return errorAnswer(error, [allow]);
}

function failure(error: unknown, ctx: RequestContext): Answer {
  const known = answerForError(error, (upload) => ctx.uploadUrl(upload));
  if (known !== undefined) return known;
  // Nobody is there to read it: the status is for the log, as Distribution has it.
  if (ctx.request.signal.aborted) return emptyAnswer(499, []);
  return errorAnswer(new OciError("UNKNOWN", { detail: { requestId: ctx.id } }));
}

function notFound(): OciError {
  return new OciError("NAME_UNKNOWN", { message: "no such endpoint" });
}

/**
 * A client's or proxy's own id is taken over, so that one search finds both logs, if it is
 * harmless.
 */
function readRequestId(request: IncomingRequest): string | undefined {
  const id = request.headers.get("x-request-id");
  return id !== null && /^[A-Za-z0-9_.:-]{1,64}$/.test(id) ? id : undefined;
}
