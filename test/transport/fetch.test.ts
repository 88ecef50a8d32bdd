import { createFetchTransport } from '../../src/transport/fetch.js';
import { transportContract } from './contract.js';

transportContract('fetch', () => createFetchTransport(fetch));
