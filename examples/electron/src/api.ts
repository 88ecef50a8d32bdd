/** What the window is shown of one upload; plain values, for a structured clone. */
export interface UploadView {
  readonly id: string;
  readonly name: string;
  readonly url: string;
  readonly status: 'running' | 'paused' | 'failed' | 'done' | 'cancelled';
  readonly bytesSent: number;
  /** 0 while it is not known. */
  readonly bytesTotal: number;
  readonly bytesPerSecond: number;
  readonly etaMs: number | undefined;
  /** Why it failed, or waits for another try. */
  readonly problem: string | undefined;
}

/** What the window is shown of the settings: never the password. */
export interface SettingsView {
  /** The folder on the server, ending in a slash; empty at first. */
  readonly serverUrl: string;
  readonly username: string;
  readonly hasPassword: boolean;
  /** `electron`: Chromium's network stack, with the system's proxy. `undici`: Node's. */
  readonly transport: 'undici' | 'electron';
  /** False where the system has no safe place: the password is forgotten at the end. */
  readonly keepsPassword: boolean;
}

export type SettingsChange = Pick<SettingsView, 'serverUrl' | 'username' | 'transport'> & {
  /** Absent: as it was. */
  readonly password?: string;
};

/** The bridge between the window and the main process: all that the window can do. */
export interface UploadsApi {
  list(): Promise<UploadView[]>;
  /** Called with every change of the list, at most ten times a second. */
  onChange(listener: (uploads: UploadView[]) => void): void;
  /** @returns what is wrong, or undefined */
  addFiles(files: readonly File[]): Promise<string | undefined>;
  /** Asks for files in a dialog. @returns what is wrong, or undefined */
  chooseFiles(): Promise<string | undefined>;
  pause(id: string): Promise<void>;
  resume(id: string): Promise<void>;
  cancel(id: string): Promise<void>;
  /** Takes an upload that has ended off the list. */
  remove(id: string): Promise<void>;
  settings(): Promise<SettingsView>;
  /** @returns what is wrong, or undefined */
  saveSettings(change: SettingsChange): Promise<string | undefined>;
}

declare global {
  interface Window {
    readonly uploads: UploadsApi;
  }
}
