// An app that uploads; examples/test-your-app.mjs tests it.
import { UploadJob } from 'bits-upload';

/** Uploads the report of one day, and gives its URL. */
export async function uploadReport(serverUrl, day, text) {
  const job = new UploadJob({
    url: `${serverUrl}reports/${day}.txt`,
    source: new TextEncoder().encode(text),
    retry: { limit: 5, minDelayMs: 10 },
  });
  return (await job.start()).url;
}
