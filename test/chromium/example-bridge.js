// Runs in the page of the example before its own script: the bridge, in place of the preload.

{
  const { invoke } = globalThis;
  const uploads = {
    onChange: (listener) => {
      globalThis.changed = listener;
    },
    addFiles: (files) =>
      invoke(
        'uploads:add',
        files.map(({ name }) => name),
      ),
    chooseFiles: () => invoke('uploads:choose'),
    settings: () => invoke('settings:get'),
    saveSettings: (change) => invoke('settings:save', change),
    list: () => invoke('uploads:list'),
  };
  for (const action of ['pause', 'resume', 'cancel', 'remove']) {
    uploads[action] = (id) => invoke(`uploads:${action}`, id);
  }
  globalThis.uploads = uploads;
}
