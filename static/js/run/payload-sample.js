// What an answer begins with: a value that fits the wait's schema where one can be made of it, so that whoever answers changes what stands there.

import { stringify } from "../exact.js";

const DEEPEST = 8;

const EMPTY = { string: "", boolean: true, null: null, array: [], number: 0, integer: 0, object: {} };

/** JSON text for a schema (playground/workflows/payload_schema.py); `{}` where there is none. */
export const sampleOf = (schema) => (schema ? stringify(sample(schema, 0)) : "{}");

function sample(schema, depth) {
  if ("default" in schema) return schema.default;
  if ("const" in schema) return schema.const;
  if (schema.enum) return schema.enum[0];
  const type = [schema.type ?? "object"].flat()[0];
  if (type === "object" && depth < DEEPEST) {
    const parts = Object.entries(schema.properties ?? {}).filter(([name]) => schema.required?.includes(name));
    return Object.fromEntries(parts.map(([name, below]) => [name, sample(below, depth + 1)]));
  }
  if (type === "array" && schema.minItems && depth < DEEPEST) return Array.from({ length: Math.min(schema.minItems, 3) }, () => sample(schema.items ?? {}, depth + 1));
  if (type === "number" || type === "integer") return schema.minimum ?? (schema.exclusiveMinimum === undefined ? (schema.maximum < 0 ? schema.maximum : 0) : schema.exclusiveMinimum + 1);
  return EMPTY[type];
}
