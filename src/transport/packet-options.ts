import type { AbortSwitch } from '../common/abort-switch.js';
import type { SendOptions } from './transport.js';

/** As a job gives them to this package's own transport. */
export interface PacketOptions extends SendOptions {
  /** In place of `signal`. */
  readonly abortSwitch?: AbortSwitch | undefined;
}

/** The same for those who know no switch. */
export function withSignal(options: PacketOptions): SendOptions {
  const { abortSwitch, ...others } = options;
  return abortSwitch === undefined ? options : { ...others, signal: abortSwitch.signal };
}
