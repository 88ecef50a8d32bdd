import { channel } from 'node:diagnostics_channel';

/** What others may listen to, without touching the code that uploads (docs/diagnostics.md). */
export const CHANNELS = Object.freeze({
  request: channel('bits-upload:request'),
  response: channel('bits-upload:response'),
  failure: channel('bits-upload:failure'),
  state: channel('bits-upload:state'),
  retry: channel('bits-upload:retry'),
  warning: channel('bits-upload:warning'),
});
