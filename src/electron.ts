/** `bits-upload/electron`: uploads over Electron's network stack. */
export {
  createElectronTransport,
  type ElectronNet,
  type ElectronRequest,
  type ElectronResponse,
  type ElectronTransportOptions,
} from './transport/electron.js';
export type { ElectronAuthInfo, ElectronLogin } from './transport/electron-login.js';
