import { plain } from './table.ts';

type Item = Readonly<Record<string, unknown>>;

/** One entry of the audit log on one line: when, who, what, with which result, about what, from where. */
export function auditLine({
  seq,
  at,
  actor,
  action,
  result,
  code,
  deviceId,
  address,
  requestId,
  detail,
}: Item): string {
  const outcome = code === null ? plain(result) : `${plain(result)} (${plain(code)})`;
  const more = Object.entries((detail ?? {}) as Item).map(([name, value]) => `${plain(name)}=${plain(value)}`);
  const about = [
    ...(deviceId === null ? [] : [`device=${plain(deviceId)}`]),
    ...(address === null ? [] : [`from=${plain(address)}`]),
    ...(requestId === null ? [] : [`request=${plain(requestId)}`]),
    ...more,
  ];
  return [plain(seq), plain(at), plain(actor), plain(action), outcome, ...about].join('  ');
}
