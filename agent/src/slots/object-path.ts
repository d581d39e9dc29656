export const OBJECTS_DIRECTORY = 'objects';

/** Where an object lies that is whole. */
export const objectPath = (sha256: string): string => `${OBJECTS_DIRECTORY}/${sha256}`;
