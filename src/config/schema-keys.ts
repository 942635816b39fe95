/**
 * Which keys a schema knows, found from the schema itself: so that no second list can forget one.
 */
import { z } from "zod";

/** `anything`: whatever lies below is somebody else's. */
type Known = "value" | "anything" | ReadonlyMap<string, Known>;

/** Stands for the place in a list. */
const anyItem = "*";

/** Each key as a path with dots, in the schema's order; `*` for an item of a list. */
export function schemaKeys(schema: z.ZodType): readonly string[] {
  return [...flatten(knownBy(schema))];
}

/** Paths of values that the schema does not know; of each only the first key that is unknown. */
export function unknownKeys(schema: z.ZodType, values: unknown): readonly string[] {
  return unknownBelow(knownBy(schema), values, []);
}

function knownBy(schema: z.ZodType): Known {
  return read(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));
}

function read(schema: z.core.JSONSchema._JSONSchema): Known {
  if (typeof schema === "boolean") return "anything";
  const { anyOf, items, oneOf, properties } = schema;
  const choices = (anyOf ?? oneOf)?.map(read).filter((choice) => typeof choice !== "string");
  if (choices !== undefined && choices.length > 0) return merge(choices);
  if (properties !== undefined) {
    return new Map(Object.entries(properties).map(([key, value]) => [key, read(value)]));
  }
  if (items !== undefined && !Array.isArray(items)) return new Map([[anyItem, read(items)]]);
  return schema.additionalProperties === undefined ? "value" : "anything";
}

/** Of each key the one with most below it. */
function merge(choices: readonly ReadonlyMap<string, Known>[]): Known {
  const merged = new Map<string, Known>();
  for (const [key, known] of choices.flatMap((choice) => [...choice])) {
    const before = merged.get(key);
    const both = before instanceof Map && known instanceof Map;
    if (both) merged.set(key, merge([before, known]));
    else if (!(before instanceof Map)) merged.set(key, known);
  }
  return merged;
}

function* flatten(known: Known, path: readonly string[] = []): Generator<string> {
  if (typeof known === "string") return;
  for (const [key, below] of known) {
    const here = [...path, key];
    yield here.join(".");
    yield* flatten(below, here);
  }
}

function unknownBelow(known: Known, values: unknown, path: readonly string[]): readonly string[] {
  if (typeof known === "string" || typeof values !== "object" || values === null) return [];
  return Object.entries(values).flatMap(([key, value]) => {
    const here = [...path, key];
    const below = known.get(Array.isArray(values) ? anyItem : key);
    return below === undefined ? [here.join(".")] : unknownBelow(below, value, here);
  });
}
