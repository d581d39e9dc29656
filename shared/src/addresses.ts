/**
 * How long each address of a name may take to answer before the next one is tried, IPv6 and IPv4 in turn; the last one
 * has no such limit. Node's own 250 ms are less than a round trip over a slow radio link, and where only the first
 * address can be reached no connection would ever come about.
 */
export const ADDRESS_PATIENCE = { autoSelectFamilyAttemptTimeout: 2_500 } as const;

/** Why no connection came about, of each address that was tried: Node's own error of several says nothing. */
export const connectFault = (cause: Error): string =>
  cause instanceof AggregateError
    ? cause.errors.map((each: unknown) => (each instanceof Error ? each.message : String(each))).join(', ')
    : cause.message;
