// Runs in a page of Chromium: sends one request, and tells of it through `tellOfRequest`.

const cancels = new Map();

globalThis.cancelRequest = (id) => cancels.get(id)?.();

globalThis.sendRequest = async (id, { method, url, headers, body, credentials }) => {
  const tell = (event) => globalThis.tellOfRequest(id, event);
  const bytes = body === undefined ? undefined : Uint8Array.fromBase64(body);
  try {
    // Of a Blob, the debugger makes no copy, which would take seconds.
    const init = { method, headers, body: bytes && new Blob([bytes]), credentials };
    // A fetch tells of no progress; an XMLHttpRequest gives the answer's body at its end, and follows
    // redirects.
    await (bytes?.length ? sendBody : fetchAnswer)(tell, id, url, init);
  } catch {
    await tell({ type: 'failed' });
  } finally {
    cancels.delete(id);
  }
};

async function fetchAnswer(tell, id, url, init) {
  const controller = new AbortController();
  cancels.set(id, () => controller.abort());
  const response = await fetch(url, {
    ...init,
    redirect: 'manual',
    cache: 'no-store',
    signal: controller.signal,
  });
  if (response.type === 'opaqueredirect') return tell({ type: 'redirect' });
  await tell({ type: 'head', status: response.status, headers: [...response.headers].flat() });
  for await (const chunk of response.body ?? [])
    await tell({ type: 'chunk', body: chunk.toBase64() });
  await tell({ type: 'end' });
}

function sendBody(tell, id, url, { method, headers, body, credentials }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    cancels.set(id, () => request.abort());
    request.open(method, url);
    request.responseType = 'arraybuffer';
    request.withCredentials = credentials === 'include';
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded }) => tell({ type: 'progress', bytes: loaded });
    request.onreadystatechange = () => {
      if (request.readyState !== request.HEADERS_RECEIVED) return;
      const lines = request.getAllResponseHeaders().trimEnd().split('\r\n');
      const fields = lines.filter(Boolean).flatMap((line) => line.split(/: (.*)/s, 2));
      tell({ type: 'head', status: request.status, headers: fields });
    };
    request.onload = async () => {
      const answer = new Uint8Array(request.response);
      if (answer.length > 0) await tell({ type: 'chunk', body: answer.toBase64() });
      resolve(tell({ type: 'end' }));
    };
    request.onerror = reject;
    request.onabort = resolve;
    request.send(body);
  });
}
