import type { SettingsChange } from './api.js';
import type { Settings } from './settings.js';
import type { Uploads } from './uploads.js';

/** What the window may ask for, by channel. Whatever it sends is checked, as from a stranger. */
export function handlersFor(
  uploads: Uploads,
  settings: Settings,
  chooseFiles: () => Promise<string[]>,
): Readonly<Record<string, (given: unknown) => unknown>> {
  const add = (paths: readonly string[]) =>
    problemOf(() => {
      const { serverUrl } = settings.view;
      if (serverUrl === '') throw new Error('Set the server first.');
      for (const path of paths) uploads.add(path, serverUrl);
    });
  return {
    'uploads:list': () => uploads.list(),
    'uploads:add': (given) => add(texts(given)),
    'uploads:choose': async () => add(await chooseFiles()),
    'uploads:pause': (given) => uploads.pause(text(given)),
    'uploads:resume': (given) => uploads.resume(text(given)),
    'uploads:cancel': (given) => uploads.cancel(text(given)),
    'uploads:remove': (given) => uploads.remove(text(given)),
    'settings:get': () => settings.view,
    'settings:save': (given) => problemOf(() => settings.change(settingsChange(given))),
  };
}

/** Over IPC an error keeps its message alone, with a prefix of Electron's: so it is a value. */
async function problemOf(work: () => unknown): Promise<string | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function text(given: unknown): string {
  if (typeof given !== 'string') throw new TypeError('not a text');
  return given;
}

function texts(given: unknown): string[] {
  if (!Array.isArray(given)) throw new TypeError('not a list');
  return given.map(text);
}

function settingsChange(given: unknown): SettingsChange {
  const { serverUrl, username, transport, password } = (given ?? {}) as Record<string, unknown>;
  return {
    serverUrl: text(serverUrl),
    username: text(username),
    transport: transport === 'electron' ? 'electron' : 'undici',
    ...(password !== undefined && { password: text(password) }),
  };
}
