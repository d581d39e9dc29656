import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { TypeboxProvider } from './validation.ts';

/** Fastify with typebox schemas as types. */
export type Http = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeboxProvider
>;

/** The routes of one feature, to be registered under a prefix. */
export type Routes = (app: Http) => Promise<void>;
