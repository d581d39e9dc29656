/**
 * The X.509 library finds its parts through a container that asks for the metadata half of Reflect, and stops at its
 * import without it. It looks metadata up and never finds any, because none of its classes is decorated with types: two
 * functions that know nothing are all that it needs. A real one, when there is one, is left alone.
 */
const KNOWS_NOTHING = { getMetadata: () => undefined, getOwnMetadata: () => undefined };

if (!('getMetadata' in Reflect)) Object.assign(Reflect, KNOWS_NOTHING);
