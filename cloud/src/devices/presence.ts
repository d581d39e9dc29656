/** Whether a device is there: what is said of it, in one word. */
export const PRESENCE_WORDS = ['never-seen', 'online', 'late', 'lost', 'offline', 'retired'] as const;
export type Presence = (typeof PRESENCE_WORDS)[number];

export const isPresence = (text: string): text is Presence => (PRESENCE_WORDS as readonly string[]).includes(text);
