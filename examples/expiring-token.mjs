// Uploads with a token that expires in the middle: the function is asked for another one.
//   node examples/expiring-token.mjs dump.zip https://server.example/drop/ https://login.example/token
import { UploadJob } from 'bits-upload';

const [, , source, url, tokenUrl] = process.argv;

async function fetchToken() {
  const answer = await fetch(tokenUrl, { method: 'POST' });
  if (!answer.ok) throw new Error(`the token service answers ${answer.status}`);
  console.error('got a token');
  const { access_token: token } = /** @type {{ access_token: string }} */ (await answer.json());
  return token;
}

const { bytes } = await new UploadJob({ url, source, auth: { token: fetchToken } }).start();
console.log(`${bytes} bytes uploaded`);
