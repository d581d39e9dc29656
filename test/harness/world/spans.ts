export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const YEAR = 365.25 * DAY;

/** When the worlds begin: inside them true time counts from 0, because small numbers keep their fractions. */
export const WORLD_BEGAN_MS = Date.UTC(2026, 8, 1);
