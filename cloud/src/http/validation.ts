import type { FastifySchema, FastifySchemaCompiler, FastifyTypeProvider } from 'fastify';
import type { Static, TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import type { TLocalizedValidationError } from 'typebox/error';
import Value from 'typebox/value';
import { HttpError, type Misfit } from './problem.ts';

/** One schema is what validates, what the compiler sees and what the OpenAPI document says. */
export interface TypeboxProvider extends FastifyTypeProvider {
  readonly validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown;
  readonly serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown;
}

const PART_NAMES: Readonly<Record<string, string>> = { querystring: 'query', params: 'path', headers: 'header' };

/**
 * Compiles a schema of one part of a request. Bodies are taken as they are: nothing is stripped or coerced.
 * A query and a path hold nothing but text, so there numbers and booleans are read from it.
 */
export const validatorCompiler: FastifySchemaCompiler<FastifySchema | TSchema> = ({ schema, httpPart = 'body' }) => {
  const validator = Compile(schema);
  const isText = httpPart !== 'body';
  return (data: unknown) => {
    const value = isText ? Value.Convert(schema, data ?? {}) : data;
    if (validator.Check(value)) return { value };
    const misfits = misfitsOf(validator.Errors(value), PART_NAMES[httpPart] ?? httpPart);
    return { error: new HttpError('request_invalid', undefined, misfits) };
  };
};

/** Answers are made by us; their schemas are for the document and the compiler. */
export const serializerCompiler = () => (data: unknown) => JSON.stringify(data);

function misfitsOf(errors: readonly TLocalizedValidationError[], part: string): Misfit[] {
  const named = errors.flatMap((error) => misfitOf(error, part));
  return named.length > 0 ? named : [{ in: part, pointer: '', code: 'value_invalid', detail: 'does not fit' }];
}

function misfitOf(error: TLocalizedValidationError, part: string): Misfit[] {
  const pointer = error.instancePath;
  switch (error.keyword) {
    case 'boolean':
      return [{ in: part, pointer, code: 'property_unknown', detail: 'is not a property of this request' }];
    case 'required':
      return error.params.requiredProperties.map((name) => ({
        in: part,
        pointer: `${pointer}/${name}`,
        code: 'property_missing',
        detail: 'is needed',
      }));
    // Said once more by what stands inside them.
    case 'additionalProperties':
    case 'anyOf':
      return [];
    default:
      return [{ in: part, pointer, code: 'value_invalid', detail: error.message }];
  }
}
