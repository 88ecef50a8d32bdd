import { createElectronTransport } from '../../src/electron.js';
import { standInNet } from '../support/electron/net.js';
import { startNodeLoader } from '../support/electron/node-loader.js';
import { transportContract } from './contract.js';

transportContract('electron', () => createElectronTransport({ net: standInNet(startNodeLoader) }));
