// Stops an upload after some time with an AbortSignal, and continues it.
//   node examples/abort.mjs dump.zip https://server.example/drop/ 500
import { isBitsError, UploadJob } from 'bits-upload';

const [, , source, url, milliseconds = '500'] = process.argv;
const job = new UploadJob({
  url,
  source,
  bandwidth: { bytesPerSecond: 2_000_000 },
  signal: AbortSignal.timeout(Number(milliseconds)),
});
try {
  await job.start();
  console.log('done before the time was up');
} catch (error) {
  if (!isBitsError(error) || error.code !== 'BITS_ERR_ABORTED') throw error;
  console.log(`stopped at ${job.toJSON().progress?.bytesAcknowledged ?? 0} bytes`);
  job.bandwidth?.change({ bytesPerSecond: Number.POSITIVE_INFINITY });
  const { bytes, resumed } = await job.resume();
  console.log(resumed ? `resumed; ${bytes} bytes are there` : `${bytes} bytes are there`);
}
