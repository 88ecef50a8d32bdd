// In a sandbox, and so CommonJS: the window's only way to the main process.
import electron = require('electron');

type Api = import('./api.js').UploadsApi;

const { contextBridge, ipcRenderer, webUtils } = electron;

const api: Api = {
  list: () => ipcRenderer.invoke('uploads:list'),
  onChange: (listener) => void ipcRenderer.on('uploads:change', (_event, list) => listener(list)),
  // Pages do not know paths; the preload may ask for them.
  addFiles: (files) =>
    ipcRenderer.invoke(
      'uploads:add',
      files.map((file) => webUtils.getPathForFile(file)),
    ),
  chooseFiles: () => ipcRenderer.invoke('uploads:choose'),
  pause: (id) => ipcRenderer.invoke('uploads:pause', id),
  resume: (id) => ipcRenderer.invoke('uploads:resume', id),
  cancel: (id) => ipcRenderer.invoke('uploads:cancel', id),
  remove: (id) => ipcRenderer.invoke('uploads:remove', id),
  settings: () => ipcRenderer.invoke('settings:get'),
  saveSettings: (change) => ipcRenderer.invoke('settings:save', change),
};

contextBridge.exposeInMainWorld('uploads', api);
