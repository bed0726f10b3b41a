import { Client } from '@conclave/client';
import { coordination } from './coordination.js';
import { data } from './data.js';
import { elections } from './elections.js';
import { keys } from './keys.js';
import { locks } from './locks.js';
import { serve } from './protocol.js';
import { sessions } from './sessions.js';

const objects = await serve({ ...keys, ...sessions, ...locks, ...elections, ...coordination, ...data });
const clients = [...objects.values()].filter((value) => value instanceof Client);
await Promise.all(clients.map((client) => client.close()));
process.exit(0);
