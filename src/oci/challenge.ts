/** `WWW-Authenticate`: how a server says in which ways one can log in (RFC 9110 section 11). */

export interface Challenge {
  /** Compare without regard to case. */
  readonly scheme: string;
  /** By name: realm, service, scope, error, ... Parsed names are in lower case. */
  readonly parameters: Readonly<Record<string, string>>;
  /** What a few schemes have in place of parameters. */
  readonly token68?: string;
}

/**
 * Characters: what HTTP implementations take as headers, all together. Longer is not read at all.
 */
export const challengesLengthMax = 16_384;

/**
 * Scheme and names have to be tokens; a value may be any text, of which a header's characters
 * remain.
 */
export function formatChallenge(challenge: Challenge): string {
  const { scheme, parameters, token68 } = challenge;
  const fields = Object.entries(parameters).map(([name, value]) => `${name}=${quoted(value)}`);
  const rest = token68 ?? fields.join(",");
  return rest === "" ? scheme : `${scheme} ${rest}`;
}

/**
 * Every challenge in a header, several in one or joined from many. Where the header stops making
 * sense the reading stops: what came before is returned, so that one odd server costs only itself.
 */
export function parseChallenges(header: string): readonly Challenge[] {
  if (header.length > challengesLengthMax) return [];
  const cursor = new Cursor(header);
  const challenges: Challenge[] = [];
  cursor.skipCommas();
  for (;;) {
    const scheme = cursor.take(tokenPattern);
    if (scheme === undefined) return challenges;
    // A space or the element's end has to follow; anything else is no scheme.
    if (!cursor.at(schemeEndPattern)) return challenges;
    const { challenge, complete } = readChallenge(cursor, scheme);
    challenges.push(challenge);
    if (!complete) return challenges;
  }
}

const tokenPattern = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const schemeEndPattern = /[ \t,]|$/y;
const elementEndPattern = /[ \t]*(?:,|$)/y;
const token68Pattern = /[A-Za-z0-9\-._~+/]+=*/y;
const equalsPattern = /[ \t]*=[ \t]*/y;
const quotedPattern = /"(?:[^"\\]|\\[^])*"/y;
const blanksPattern = /[ \t]+/y;
const commasPattern = /[ \t,]+/y;

/**
 * What follows a scheme up to the next one. `complete` is false where the text stopped making
 * sense.
 */
function readChallenge(
  cursor: Cursor,
  scheme: string,
): { readonly challenge: Challenge; readonly complete: boolean } {
  const parameters = new Map<string, string>();
  cursor.take(blanksPattern);
  const token68 = cursor.takeElement(token68Pattern);
  if (token68 !== undefined) {
    cursor.skipCommas();
    return { challenge: { scheme, parameters: {}, token68 }, complete: true };
  }
  for (;;) {
    const separated = cursor.skipCommas();
    const parameter = readParameter(cursor);
    if (parameter === undefined) {
      const challenge = { scheme, parameters: Object.fromEntries(parameters) };
      return { challenge, complete: separated || cursor.done };
    }
    // RFC 9110 section 11.2: a name occurs once; of several the first one stands.
    const name = parameter.name.toLowerCase();
    if (!parameters.has(name)) parameters.set(name, parameter.value);
  }
}

/**
 * `name=value`, or `undefined` with the cursor where it was: then it may be the next challenge's
 * scheme.
 */
function readParameter(
  cursor: Cursor,
): { readonly name: string; readonly value: string } | undefined {
  const start = cursor.position;
  const name = cursor.take(tokenPattern);
  if (name !== undefined && cursor.take(equalsPattern) !== undefined) {
    const text = cursor.takeElement(quotedPattern);
    const value = text === undefined ? cursor.takeElement(tokenPattern) : unquoted(text);
    if (value !== undefined) return { name, value };
  }
  cursor.position = start;
  return undefined;
}

/** A quoted-string (RFC 9110 section 5.6.4). Characters that no header may have become blanks. */
function quoted(value: string): string {
  const safe = value.replaceAll(/[^\t\x20-\x7e]/g, " ");
  return `"${safe.replaceAll(/["\\]/g, "\\$&")}"`;
}

function unquoted(text: string): string {
  return text.slice(1, -1).replaceAll(/\\([^])/g, "$1");
}

/** A place in a text, moved on by patterns that match at that very place (sticky ones). */
class Cursor {
  readonly #text: string;
  position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get done(): boolean {
    return this.position >= this.#text.length;
  }

  at(pattern: RegExp): boolean {
    pattern.lastIndex = this.position;
    return pattern.test(this.#text);
  }

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.position;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.position += match[0].length;
    return match[0];
  }

  /** As `take`, provided that a list's element ends there. */
  takeElement(pattern: RegExp): string | undefined {
    const start = this.position;
    const text = this.take(pattern);
    if (text !== undefined && this.at(elementEndPattern)) return text;
    this.position = start;
    return undefined;
  }

  /** Blanks and commas; whether there was a comma. Lists may have empty elements. */
  skipCommas(): boolean {
    return this.take(commasPattern)?.includes(",") ?? false;
  }
}
