/** What an event's data may take in a report, in bytes of JSON: with every reading beside it, it has to fit one message. */
export const MAX_EVENT_DATA_BYTES = 4_096;

/** Stands for data that was too large: that the event happened is told whatever came with it. */
const TOO_LARGE = { tooLarge: true };

/** @returns the data, or the marker in its place */
export const boundedData = (data: Record<string, unknown>): Record<string, unknown> =>
  new TextEncoder().encode(JSON.stringify(data)).length > MAX_EVENT_DATA_BYTES ? TOO_LARGE : data;
