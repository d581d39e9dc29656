/** The reading that says how an application is. */
export const readingName = (application: string): string => `application.${application}`;
