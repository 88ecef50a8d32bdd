import { unlessAborted } from '../common/abort.js';
import {
  askCaller,
  type Credentials,
  checkCredentials,
  plainUserName,
  secretOf,
} from './auth/credentials.js';

/** Who asks for a name and a password, as Electron's `login` event tells it. */
export interface ElectronAuthInfo {
  /** Whether it is a proxy, and not the server. */
  readonly isProxy: boolean;
  /** Such as `basic`, `digest`, `ntlm` or `negotiate`. */
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly realm: string;
}

/**
 * Gives a name and a password, or none: by what it returns or its promise resolves with, or through
 * the callback, as in Electron's own `login` events. A function that takes the callback and returns
 * nothing has `answerTimeoutMs` to call it.
 */
export type ElectronLogin = (
  authInfo: ElectronAuthInfo,
  callback: (username?: string, password?: string) => void,
) => LoginAnswer | Promise<LoginAnswer>;

// biome-ignore lint/suspicious/noConfusingVoidType: a function that calls back returns nothing
type LoginAnswer = Credentials | undefined | void;

/** More than a user types wrong, and fewer than lock an account at once. */
const MAX_ANSWERS = 3;

/** What is answered to those who ask during one request. */
export class LoginAnswers {
  readonly #login: ElectronLogin;
  readonly #given = new Map<string, Set<string>>();

  constructor(login: ElectronLogin) {
    this.#login = login;
  }

  /**
   * Calls back with a name and a password, or with nothing when there is none that was not refused.
   * @throws BITS_ERR_AUTH when the login function fails; BITS_ERR_ABORTED after an abort
   */
  async give(
    authInfo: ElectronAuthInfo,
    callback: (username?: string, password?: string) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { isProxy, scheme, host, port } = authInfo;
    const peer = JSON.stringify([isProxy, scheme, host, port]);
    const given = this.#given.get(peer) ?? new Set();
    this.#given.set(peer, given);
    const credentials =
      given.size < MAX_ANSWERS ? await unlessAborted(this.#ask(authInfo), signal) : undefined;
    // Who asks again after an answer has refused it.
    if (credentials === undefined || given.has(secretOf(credentials))) return callback();
    given.add(secretOf(credentials));
    callback(plainUserName(credentials), credentials.password);
  }

  async #ask(authInfo: ElectronAuthInfo): Promise<Credentials | undefined> {
    const answer = await askCaller('login function', () => this.#called(authInfo));
    return answer === undefined ? undefined : checkCredentials(answer);
  }

  #called(authInfo: ElectronAuthInfo): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const callback = (username?: string, password?: string) =>
        resolve(
          username === undefined || password === undefined ? undefined : { username, password },
        );
      (async () => this.#login(authInfo, callback))().then((returned) => {
        if (returned || this.#login.length < 2) resolve(returned ?? undefined);
      }, reject);
    });
  }
}
