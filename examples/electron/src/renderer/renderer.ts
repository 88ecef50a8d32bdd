import type { UploadView } from '../api.js';

const { uploads } = window;

function find<T extends HTMLElement>(selector: string, within: ParentNode = document): T {
  const element = within.querySelector<T>(selector);
  if (element === null) throw new Error(`The page has no ${selector}`);
  return element;
}

const list = find('#list');
const template = find<HTMLTemplateElement>('#row');
const rows = new Map<string, HTMLElement>();

const STATUS_TEXT: Readonly<Record<UploadView['status'], string>> = {
  running: 'uploading',
  paused: 'paused',
  failed: 'failed',
  done: 'done',
  cancelled: 'cancelled',
};

/** The actions that make sense in each status. */
const ACTIONS: Readonly<Record<UploadView['status'], readonly Action[]>> = {
  running: ['pause', 'cancel'],
  paused: ['resume', 'cancel'],
  failed: ['resume', 'remove'],
  done: ['remove'],
  cancelled: ['remove'],
};

type Action = 'pause' | 'resume' | 'cancel' | 'remove';

function newRow(id: string): HTMLElement {
  const row = find('li', template.content.cloneNode(true) as DocumentFragment);
  for (const action of ['pause', 'resume', 'cancel', 'remove'] as const) {
    find(`.${action}`, row).addEventListener('click', () => void uploads[action](id));
  }
  rows.set(id, row);
  list.append(row);
  return row;
}

function show(views: readonly UploadView[]): void {
  const ids = new Set(views.map(({ id }) => id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  for (const view of views) showRow(rows.get(view.id) ?? newRow(view.id), view);
  find('#empty').hidden = views.length > 0;
}

function showRow(row: HTMLElement, view: UploadView): void {
  const { name, url, status, bytesSent, bytesTotal } = view;
  row.dataset.status = status;
  row.title = url;
  find('.name', row).textContent = name;
  find('.status', row).textContent = STATUS_TEXT[status];
  find('.details', row).textContent = detailsOf(view);
  const progress = find<HTMLProgressElement>('progress', row);
  if (status === 'running' && bytesTotal === 0) progress.removeAttribute('value');
  else if (status === 'done') progress.value = 1;
  else progress.value = bytesTotal > 0 ? bytesSent / bytesTotal : 0;
  for (const action of ['pause', 'resume', 'cancel', 'remove'] as const) {
    find(`.${action}`, row).hidden = !ACTIONS[status].includes(action);
  }
}

function detailsOf({ status, bytesSent, bytesTotal, bytesPerSecond, etaMs, problem }: UploadView) {
  if (problem !== undefined) return problem;
  if (bytesTotal === 0) return '';
  if (status === 'done') return sizeOf(bytesTotal);
  const parts = [`${sizeOf(bytesSent)} of ${sizeOf(bytesTotal)}`];
  if (bytesPerSecond > 0) parts.push(`${sizeOf(bytesPerSecond)}/s`);
  if (etaMs !== undefined) parts.push(`${Math.ceil(etaMs / 1000)} s left`);
  return parts.join(' · ');
}

function sizeOf(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let size = bytes;
  let unit = 0;
  for (; size >= 1000 && unit < units.length - 1; unit++) size /= 1000;
  return `${unit === 0 ? Math.round(size) : size.toPrecision(3)} ${units[unit]}`;
}

function tell(element: HTMLElement, problem: string | undefined): void {
  element.hidden = problem === undefined;
  element.textContent = problem ?? '';
}

const problem = find('#problem');
find('#choose').addEventListener('click', async () => tell(problem, await uploads.chooseFiles()));

// On the whole window: a file that misses the list must not be opened.
const drop = find('#drop');
document.addEventListener('dragover', (event) => {
  event.preventDefault();
  drop.classList.add('over');
});
document.addEventListener('dragleave', () => drop.classList.remove('over'));
document.addEventListener('drop', async (event) => {
  event.preventDefault();
  drop.classList.remove('over');
  const files = [...(event.dataTransfer?.files ?? [])];
  if (files.length > 0) tell(problem, await uploads.addFiles(files));
});

const dialog = find<HTMLDialogElement>('#settings');
const form = find<HTMLFormElement>('form', dialog);
const field = (name: string) => find<HTMLInputElement>(`[name=${name}]`, form);
const settingsProblem = find('#settings-problem');

find('#open-settings').addEventListener('click', async () => {
  const { serverUrl, username, hasPassword, transport, keepsPassword } = await uploads.settings();
  field('serverUrl').value = serverUrl;
  field('username').value = username;
  field('password').value = '';
  field('password').placeholder = hasPassword ? 'unchanged' : '';
  find<HTMLInputElement>(`[value=${transport}]`, form).checked = true;
  find('#password-note').hidden = keepsPassword;
  tell(settingsProblem, undefined);
  dialog.showModal();
});
find('#close-settings').addEventListener('click', () => dialog.close());
form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const password = field('password').value;
  const isChromium = find<HTMLInputElement>('[value=electron]', form).checked;
  const wrong = await uploads.saveSettings({
    serverUrl: field('serverUrl').value,
    username: field('username').value,
    transport: isChromium ? 'electron' : 'undici',
    ...(password !== '' && { password }),
  });
  tell(settingsProblem, wrong);
  if (wrong === undefined) dialog.close();
});

uploads.onChange(show);
show(await uploads.list());
