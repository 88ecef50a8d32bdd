// Uploads a file to an upload-reply server, and reads the JSON that its application answers.
//   node examples/upload-reply.mjs orders.csv https://server.example/orders/
import { UploadJob } from 'bits-upload';

const [, , source, url] = process.argv;
const job = new UploadJob({ url, source, reply: true });
job.on('state', (state) => {
  if (state === 'await-reply') console.error('sent; the server is working on it');
});
const { reply } = await job.start();
const answer = JSON.parse(new TextDecoder().decode(reply?.data));
console.log(`the application counted ${answer.lines} lines in ${answer.bytes} bytes`);
