/** Why a text is no address of a broker that the agent can use, for people; null when it is one. Repeats no secret. */
export function brokerUrlFault(text: string): string | null {
  const url = /^mqtts?:\/\/[^/\s?#]+$/.test(text) ? URL.parse(text) : null;
  if (url === null) return 'must be a broker such as mqtt://127.0.0.1:1883, with a port of at most 65535';
  if (text.includes('@')) return 'must name no user and no password: the agent signs what it says instead';
  return url.port === '0' ? 'must have a port from 1 to 65535' : null;
}
