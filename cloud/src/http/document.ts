/** What the OpenAPI document says beside the routes. */
export const DOCUMENT = {
  openapi: '3.1.0',
  info: {
    title: 'Paddock',
    version: '1',
    description:
      'Devices, what they reported and whether they are there. Every refusal is a problem document (RFC 9457) with a ' +
      'stable `code`. Lists are read page by page: `next` is the cursor of the next page, null at the end.',
  },
  tags: [
    { name: 'devices', description: 'Devices and their attributes' },
    { name: 'enrolment', description: 'How devices are let in' },
    { name: 'reports', description: 'What devices reported, with proof' },
    { name: 'crashes', description: 'What devices tell of ends that were not in good order, with proof' },
    { name: 'inventory', description: 'What devices are made of, and what changed of it, with proof' },
    { name: 'events', description: 'What happens, as it happens' },
    { name: 'customers', description: 'Whom kiosks belong to' },
    { name: 'sites', description: 'Where kiosks stand' },
    { name: 'models', description: 'What kinds of kiosk there are' },
    { name: 'tokens', description: 'Bearer tokens for this API' },
    { name: 'audit', description: 'Who did what, from where, and with which result' },
    { name: 'trust', description: 'Whom devices believe' },
    { name: 'service', description: 'The service itself' },
  ],
  components: {
    securitySchemes: {
      token: {
        type: 'http' as const,
        scheme: 'bearer',
        description: 'A token of the service; the first one is operator.token in the data directory',
      },
    },
  },
  security: [{ token: [] }],
};
