import type { BitsError } from '../../errors.js';
import type { WireHeaders } from '../../protocol/packets.js';
import type { WireConnection } from '../transport.js';
import { authRefusedError, authSetupError } from './auth-error.js';
import type { Challenge } from './challenges.js';
import { type Credentials, sameCredentials } from './credentials.js';
import type { AuthMeans } from './options.js';
import type { AuthRequest, AuthScheme, AuthState } from './scheme.js';

/** One run of a scheme, and what the peer thinks of it. */
interface Run {
  readonly state: AuthState;
  /** The credentials are shown, and neither taken nor refused. */
  isJudged: boolean;
  isProven: boolean;
}

/** One request as it went out, or is about to. */
export interface AuthAttempt {
  /** Of `Authorization` or `Proxy-Authorization`; undefined: none. */
  readonly value: string | undefined;
  readonly run: Run | undefined;
  /** The one that it should go over, if that is known. */
  readonly expected: WireConnection | undefined;
  /** How many proofs the peer had taken before it. */
  readonly proofs: number;
}

export interface AuthAnswer {
  readonly headers: WireHeaders;
  readonly connection?: WireConnection | undefined;
}

export interface AuthChallenged extends AuthAnswer {
  readonly attempt: AuthAttempt;
  readonly offers: readonly Challenge[];
}

/**
 * What is known about one host that asks for authentication: which scheme it takes, and how far the
 * proof has got.
 *
 * Callers go one after the other while {@link needsTurn}: two handshakes on one connection spoil
 * each other, and two first attempts with a wrong password are one too many.
 */
export class AuthSpace {
  readonly #means: AuthMeans;
  readonly #host: string;
  readonly #isProxy: boolean;
  #scheme: AuthScheme | undefined;
  /** Of a scheme that is not bound to connections. */
  #run: Run | undefined;
  #runs = new WeakMap<WireConnection, Run>();
  #latest: WireConnection | undefined;
  #proofs = 0;
  readonly #unusable = new Map<AuthScheme, BitsError>();
  #refused: { readonly error: BitsError; readonly credentials: Credentials } | undefined;

  constructor(means: AuthMeans, host: string, isProxy: boolean) {
    this.#means = means;
    this.#host = host;
    this.#isProxy = isProxy;
    this.#begin(undefined);
  }

  get needsTurn(): boolean {
    if (this.#scheme === undefined) return false;
    return this.#scheme.connectionBound || !this.#run?.isProven;
  }

  /** Whether a request with a body would go for nothing, over a connection that is yet unproven. */
  get needsHandshake(): boolean {
    return this.#scheme?.connectionBound === true && !this.#openRun()?.isProven;
  }

  /** Lets refused credentials be tried once more, as after an administrator has put things right. */
  forgetRefusal(): void {
    this.#refused = undefined;
    this.#unusable.clear();
  }

  /**
   * Takes note of a challenge, so that {@link needsHandshake} is right for what comes next.
   *
   * @throws BITS_ERR_AUTH when the credentials are refused, or no offer can be answered.
   */
  async challenged(challenged: AuthChallenged): Promise<void> {
    await this.#checkRefusal();
    if (this.#isOutdated(challenged)) return;
    const { run } = challenged.attempt;
    if (run) run.isProven = false;
    await this.#choose(challenged);
  }

  /**
   * Finds what to say with a request.
   *
   * @param challenged the answer to the attempt before; undefined for a first one.
   * @throws BITS_ERR_AUTH when the credentials are refused, or no offer can be answered.
   */
  async prepare(
    request: AuthRequest,
    challenged: AuthChallenged | undefined,
  ): Promise<AuthAttempt> {
    await this.#checkRefusal();
    if (challenged && !this.#isOutdated(challenged)) return this.#answer(request, challenged);
    const scheme = this.#scheme;
    if (scheme === undefined) return this.#attempt(undefined, undefined, undefined);
    const expected = scheme.connectionBound ? this.#openConnection() : undefined;
    const run = this.#runOf(scheme, expected);
    const step = await run.state.authorize(request, undefined);
    if (step.type === 'unusable') {
      this.#drop(scheme, step.reason);
      // The answer to a request without it tells what else there is to choose from.
      return this.#attempt(undefined, undefined, undefined);
    }
    return this.#attempt(step.type === 'send' ? step : undefined, run, expected);
  }

  /** Takes note of an answer; must be told of each, and before the next {@link prepare}. */
  answered(attempt: AuthAttempt, answer: AuthAnswer, isAccepted: boolean): void {
    const { run, expected } = attempt;
    const { connection } = answer;
    this.#latest = connection !== undefined && staysOpen(answer) ? connection : undefined;
    if (run === undefined) return;
    if (this.#scheme?.connectionBound) {
      if (connection === undefined || isElsewhere(attempt, connection)) return;
      if (expected === undefined) this.#runs.set(connection, run);
    }
    if (!isAccepted) return;
    run.state.accepted(answer.headers);
    run.isJudged = false;
    if (run.isProven) return;
    run.isProven = true;
    this.#proofs++;
  }

  async #answer(request: AuthRequest, challenged: AuthChallenged): Promise<AuthAttempt> {
    const { offers, connection } = challenged;
    for (;;) {
      const scheme = await this.#choose(challenged);
      const expected = scheme.connectionBound ? this.#openConnection() : undefined;
      const run = this.#runOf(scheme, expected);
      const step = await run.state.authorize({ ...request, connection }, offers);
      if (step.type === 'refused') throw await this.#refuse();
      if (step.type !== 'unusable') {
        return this.#attempt(step.type === 'send' ? step : undefined, run, expected);
      }
      this.#drop(scheme, step.reason);
    }
  }

  #attempt(
    step: { readonly value: string; readonly decisive: boolean } | undefined,
    run: Run | undefined,
    expected: WireConnection | undefined,
  ): AuthAttempt {
    if (step !== undefined && run !== undefined) {
      run.isJudged ||= step.decisive;
      if (this.#scheme?.connectionBound) run.isProven = false;
    }
    return { value: step?.value, run, expected, proofs: this.#proofs };
  }

  async #choose({ attempt, offers, connection }: AuthChallenged): Promise<AuthScheme> {
    const current = this.#scheme;
    if (current?.strength(offers) !== undefined) return current;
    // What another connection was told was judged by nobody.
    const isElse = current?.connectionBound === true && isElsewhere(attempt, connection);
    if (attempt.run?.isJudged && !isElse) throw await this.#refuse();
    const able = this.#means.schemes
      .map((scheme) => ({ scheme, strength: scheme.strength(offers) }))
      .filter(({ scheme, strength }) => strength !== undefined && !this.#unusable.has(scheme))
      .sort((a, b) => (b.strength ?? 0) - (a.strength ?? 0))
      .map(({ scheme }) => scheme);
    const best = able.find((scheme) => connection !== undefined || !scheme.connectionBound);
    if (best === undefined) throw this.#noOffer(offers, able[0]);
    this.#begin(best);
    return best;
  }

  #runOf(scheme: AuthScheme, connection: WireConnection | undefined): Run {
    if (!scheme.connectionBound) {
      this.#run ??= newRun(scheme);
      return this.#run;
    }
    const known = connection && this.#runs.get(connection);
    if (known) return known;
    const run = newRun(scheme);
    if (connection) this.#runs.set(connection, run);
    return run;
  }

  /** When another request has been let in meanwhile, so will this one. */
  #isOutdated({ attempt }: AuthChallenged): boolean {
    return attempt.proofs !== this.#proofs;
  }

  #openConnection(): WireConnection | undefined {
    return this.#latest?.isOpen ? this.#latest : undefined;
  }

  #openRun(): Run | undefined {
    const connection = this.#openConnection();
    return connection && this.#runs.get(connection);
  }

  #drop(scheme: AuthScheme, reason: BitsError): void {
    this.#unusable.set(scheme, reason);
    this.#begin(undefined);
  }

  #begin(scheme: AuthScheme | undefined): void {
    this.#scheme = scheme ?? this.#means.schemes.find((one) => one.eager);
    this.#run = undefined;
    this.#runs = new WeakMap();
  }

  async #checkRefusal(): Promise<void> {
    const refused = this.#refused;
    const now = refused && (await this.#means.credentials?.get());
    if (!refused || !now) return;
    if (sameCredentials(now, refused.credentials)) throw refused.error;
    this.#refused = undefined;
  }

  async #refuse(): Promise<BitsError> {
    const title = this.#scheme?.title ?? '';
    const credentials = await this.#means.credentials?.get();
    const error = credentials
      ? authRefusedError(
          `${this.#host} refused the credentials (${title}): check the user name, domain and password, that the account is not locked or expired, and its rights on the directory; they are not tried again`,
          this.#isProxy,
        )
      : authRefusedError(
          `${this.#host} refused the authorization (${title}): check that it is valid for this server, not expired, and its rights on the directory`,
          this.#isProxy,
        );
    if (credentials) this.#refused = { error, credentials };
    // A function may know others by now.
    this.#means.credentials?.forget();
    this.#begin(undefined);
    return error;
  }

  #noOffer(offers: readonly Challenge[], able: AuthScheme | undefined): BitsError {
    const host = this.#host;
    const reason = [...this.#unusable.values()].at(-1);
    if (reason !== undefined) return reason;
    if (able !== undefined) {
      return authSetupError(
        `${host} asks for ${able.title}, which authenticates a connection, and this transport has no say in which connection is used: use the default transport`,
      );
    }
    const names = [...new Set(offers.map(({ scheme }) => scheme))].slice(0, 5).join(', ');
    const own = this.#means.schemes.map(({ title }) => title).join(', ');
    return authRefusedError(
      names === ''
        ? `${host} asks for authentication but names no scheme: check the server or proxy`
        : `${host} offers ${names} for authentication, and this upload may use ${own}: check auth and auth.schemes`,
      this.#isProxy,
    );
  }
}

function newRun(scheme: AuthScheme): Run {
  return { state: scheme.begin(), isJudged: false, isProven: false };
}

function isElsewhere({ expected }: AuthAttempt, connection: WireConnection | undefined): boolean {
  return expected !== undefined && expected !== connection;
}

function staysOpen({ connection, headers }: AuthAnswer): boolean {
  return connection?.isOpen === true && !/\bclose\b/i.test(headers.connection ?? '');
}
