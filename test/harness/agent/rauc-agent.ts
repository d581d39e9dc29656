/** A program that updates a machine with RAUC, as one start of the agent does. It may be killed at any moment. */
import { beginKiosk, type KioskStart } from './rauc-kiosk.ts';

const [given = ''] = process.argv.slice(2);
await beginKiosk(JSON.parse(given) as KioskStart);
