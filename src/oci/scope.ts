/**
 * Scopes: what a token is asked for, `type(class):name:action,action`.
 * spec: https://distribution.github.io/distribution/spec/auth/scope/
 */

export interface Scope {
  /** `repository`, `registry`, ... */
  readonly type: string;
  /** Of a repository: `plugin`, ...; absent for images. */
  readonly resourceClass: string | undefined;
  /** May begin with a host and port, hence hold a colon. */
  readonly name: string;
  /** `pull`, `push`, `delete`, `*`, ...; may be none. */
  readonly actions: readonly string[];
}

/**
 * Characters. A name has at most 255 and actions are few; a host in front and the rest fit well.
 */
export const scopeLengthMax = 1024;

const typePattern = /^([a-z0-9]+)(?:\(([a-z0-9]+)\))?$/;

// Blanks separate scopes, quotes and controls never come through a header unharmed.
const namePattern = /^[\x21\x23-\x5b\x5d-\x7e]+$/;
// Distribution's grammar has letters only; others' registries have actions such as `metadata_read`.
const actionsPattern = /^(?:[a-z0-9_-]+|\*)(?:,(?:[a-z0-9_-]+|\*))*$/;

export function formatScope(scope: Scope): string {
  const resourceClass = scope.resourceClass === undefined ? "" : `(${scope.resourceClass})`;
  return `${scope.type}${resourceClass}:${scope.name}:${scope.actions.join(",")}`;
}

/** Read from both ends: the type ends at the first colon, the actions begin behind the last one. */
export function parseScope(text: string): Scope | undefined {
  if (text.length > scopeLengthMax) return undefined;
  const first = text.indexOf(":");
  const last = text.lastIndexOf(":");
  if (first === last) return undefined;

  const type = typePattern.exec(text.slice(0, first));
  const name = text.slice(first + 1, last);
  const actions = text.slice(last + 1);
  if (type?.[1] === undefined || !namePattern.test(name)) return undefined;
  if (actions !== "" && !actionsPattern.test(actions)) return undefined;
  return {
    type: type[1],
    resourceClass: type[2],
    name,
    actions: actions === "" ? [] : actions.split(","),
  };
}
