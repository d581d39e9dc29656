import Type from 'typebox';
import { actAs, type Scope } from '../../customers/scope.ts';
import type { Clock, Store } from '../../ports.ts';
import type { Authorities } from '../../trust/authorities.ts';
import { AUTHORITY_STATES, authorityViews, useAuthority, type AuthorityState } from '../../trust/authority-views.ts';
import { SHOWN_DIGITS } from '../../trust/standing.ts';
import { principalOf } from '../auth.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';
import { Count, Instant, Nullable, refusals } from '../schemas.ts';

const tags = ['trust'];

/** SHA-256 of the certificate, or its beginning. */
export const AuthorityId = Type.String({
  pattern: '^[0-9a-f]{8,64}$',
  description: 'SHA-256 of the certificate of an authority in hexadecimal, or its beginning',
});

const AuthorityView = Type.Object({
  id: AuthorityId,
  subject: Type.String(),
  notAfter: Instant,
  state: Type.Unsafe<AuthorityState>(
    Type.String({
      enum: Object.keys(AUTHORITY_STATES),
      description: Object.entries(AUTHORITY_STATES)
        .map(([state, title]) => `${state}: ${title}`)
        .join('; '),
    }),
  ),
  listedSince: Nullable(Instant),
  devices: Type.Integer({ minimum: 0, description: 'Devices whose newest good certificate it issued' }),
  behind: Nullable({
    ...Count,
    description: 'Devices with a good certificate that have not asked for anything since it is listed',
  }),
  certificate: Type.String({ description: 'In PEM' }),
});

export interface AuthorityParts {
  readonly store: Store;
  readonly authorities: Authorities;
  readonly clock: Clock;
}

/** Who issues certificates, and whose are accepted. For tokens that reach every customer. */
export const authorityRoutes =
  ({ store, authorities, clock }: AuthorityParts): Routes =>
  async (app) => {
    app.get(
      '/authorities',
      {
        schema: {
          tags,
          operationId: 'listAuthorities',
          summary: 'Authorities: which one issues, which are accepted, and how many devices know and have which',
          response: { 200: Type.Object({ items: Type.Array(AuthorityView) }), ...refusals },
        },
      },
      async (request) => {
        requireAll(principalOf(request).scope);
        return { items: await authorityViews(store, authorities, clock.wall()) };
      },
    );

    app.post(
      '/authorities/:authorityId/use',
      {
        schema: {
          tags,
          operationId: 'useAuthority',
          summary: 'Let another authority issue from now on, one that the newest list of keys names',
          params: Type.Object({ authorityId: AuthorityId }),
          response: { 200: Type.Object({ id: AuthorityId }), ...refusals },
        },
      },
      async (request) => {
        const { scope, actor } = principalOf(request);
        requireAll(scope);
        const id = await store.transaction(async (sql) => {
          await actAs(sql, actor);
          return useAuthority(sql, authorities, request.params.authorityId);
        });
        return { id: id.slice(0, SHOWN_DIGITS) };
      },
    );
  };

function requireAll({ customerId }: Scope): void {
  if (customerId !== null) throw new HttpError('scope_forbidden');
}
