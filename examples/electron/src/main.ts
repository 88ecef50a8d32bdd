import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createFileStore } from 'bits-upload';
import { createElectronTransport } from 'bits-upload/electron';
import {
  app,
  BrowserWindow,
  dialog,
  ipcMain,
  net,
  powerMonitor,
  protocol,
  safeStorage,
  session,
} from 'electron';
import { handlersFor } from './handlers.js';
import { Settings } from './settings.js';
import { Uploads } from './uploads.js';

const ORIGIN = 'app://uploads';
const PAGES = ['/index.html', '/style.css', '/renderer.js'];

protocol.registerSchemesAsPrivileged([
  { scheme: 'app', privileges: { standard: true, secure: true, supportFetchAPI: true } },
]);

let window: BrowserWindow | undefined;

function openWindow(): void {
  window = new BrowserWindow({
    width: 760,
    height: 560,
    webPreferences: {
      preload: join(import.meta.dirname, 'preload.cjs'),
      contextIsolation: true,
      sandbox: true,
      nodeIntegration: false,
    },
  });
  // A file that is dropped beside the list must not replace the page.
  window.webContents.on('will-navigate', (event) => event.preventDefault());
  window.webContents.setWindowOpenHandler(() => ({ action: 'deny' }));
  window.on('closed', () => {
    window = undefined;
  });
  void window.loadURL(`${ORIGIN}/index.html`);
}

async function start(): Promise<void> {
  const folder = app.getPath('userData');
  const settings = new Settings(join(folder, 'settings.json'), safeStorage);
  const store = createFileStore({ directory: join(folder, 'jobs') });
  const overChromium = createElectronTransport({ net });
  const uploads = new Uploads(store, () => ({
    transport: settings.view.transport === 'electron' ? overChromium : undefined,
    auth: settings.credentials && { credentials: settings.credentials },
  }));

  protocol.handle('app', ({ url }) => {
    const { pathname, host } = new URL(url);
    if (host !== 'uploads' || !PAGES.includes(pathname)) return new Response(null, { status: 404 });
    return net.fetch(pathToFileURL(join(import.meta.dirname, 'renderer', pathname)).href);
  });
  session.defaultSession.setPermissionRequestHandler((_page, _permission, answer) => answer(false));

  const chooseFiles = async () => {
    const { filePaths } = await dialog.showOpenDialog({
      properties: ['openFile', 'multiSelections'],
    });
    return filePaths;
  };
  for (const [channel, handle] of Object.entries(handlersFor(uploads, settings, chooseFiles))) {
    ipcMain.handle(channel, ({ senderFrame }, given) => {
      if (senderFrame?.origin !== ORIGIN) throw new Error('not from the window of this app');
      return handle(given);
    });
  }
  uploads.on('change', (list) => {
    window?.webContents.send('uploads:change', list);
    const running = list.filter(({ status }) => status === 'running');
    const total = running.reduce((sum, { bytesTotal }) => sum + bytesTotal, 0);
    const sent = running.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
    window?.setProgressBar(total > 0 ? sent / total : -1);
  });

  powerMonitor.on('suspend', () => void uploads.sleep());
  powerMonitor.on('resume', () => uploads.wake());

  let isSafeToQuit = false;
  app.on('before-quit', (event) => {
    if (isSafeToQuit) return;
    event.preventDefault();
    const pausedIds = uploads.pausedIds;
    void Promise.allSettled([uploads.sleep(), settings.savePaused(pausedIds)]).then(() => {
      isSafeToQuit = true;
      app.quit();
    });
  });

  app.on('activate', () => window ?? openWindow());
  app.on('second-instance', () => window?.focus());
  openWindow();
  await uploads.restore(settings.pausedIds);
}

app.on('window-all-closed', () => {
  if (process.platform !== 'darwin') app.quit();
});

// A second one would only wait for the locks of the first.
if (app.requestSingleInstanceLock()) void app.whenReady().then(start);
else app.quit();
