/**
 * POSTs to one address with Node's fetch. A redirect is an answer like any other and is not followed:
 * what is signed for one address must not wander to another.
 * @param timeoutMs how long an answer may take
 */
export function webhookPoster(
  url: string,
  timeoutMs: number,
): { post(headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<number> } {
  return {
    async post(headers, body, signal) {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      const response = await fetch(url, { method: 'POST', headers, body, redirect: 'manual', signal: limited });
      await response.body?.cancel();
      return response.status;
    },
  };
}
