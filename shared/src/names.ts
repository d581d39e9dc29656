/** Names of sensors, events and outputs: lower case, so that they look the same everywhere. */
export const NAME_PATTERN = '^[a-z0-9][a-z0-9._-]{0,63}$';
