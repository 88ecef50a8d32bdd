import { channel } from 'node:diagnostics_channel';
import { Mutex } from '../../common/mutex.js';
import type { BitsError } from '../../errors.js';
import { drain } from '../answer-body.js';
import type { WireConnection, WireResponse } from '../transport.js';
import {
  authSetupError,
  credentialsRefused,
  noUsableOffer,
  refusedBefore,
  unboundConnection,
} from './auth-error.js';
import { type Challenge, parseChallenges } from './challenges.js';
import type { AuthMeans } from './options.js';
import type { AuthScheme, AuthState, Peer } from './scheme.js';
import { processVerdicts, Trial, type Verdicts } from './verdicts.js';

/** A request to a server or proxy that may require authentication. */
export interface ProtectedRequest {
  /** As on the wire. */
  readonly method: string;
  /** The request-target, exactly as it stands in the request line. */
  readonly target: string;
  readonly hasBody: boolean;
  readonly signal: AbortSignal | undefined;
  /**
   * Sends it with these headers added; with `isHandshake` a Ping in its place, so that a handshake
   * is not paid with fragments (<9>).
   */
  send(headers: Readonly<Record<string, string>>, isHandshake: boolean): Promise<WireResponse>;
}

/** One run of a scheme, and what the peer has said about it. */
interface Run {
  readonly scheme: AuthScheme;
  readonly state: AuthState;
  /** What the peer was shown and has neither accepted nor refused. */
  secret: string | undefined;
  isProven: boolean;
}

/** One request as it is sent. */
interface Attempt {
  readonly headers: Readonly<Record<string, string>>;
  readonly isHandshake: boolean;
  readonly run: Run | undefined;
  /** The connection that it should go over, if that is known. */
  readonly expected: WireConnection | undefined;
  /** How many proofs the peer had accepted before it. */
  readonly proofs: number;
}

interface Challenged {
  readonly attempt: Attempt;
  readonly offers: readonly Challenge[];
  readonly connection: WireConnection | undefined;
}

/** What others may listen to (docs/diagnostics.md): the challenges, and the requests that answer them. */
const ROUNDS = channel('bits-upload:authentication');

/** Enough for a handshake, a change of scheme and a lost connection. */
const MAX_ATTEMPTS = 12;

/**
 * One host that may require authentication (RFC 9110 §11.5): which scheme it accepts, and how far
 * the proof has come.
 *
 * Until the credentials are accepted, requests go one after the other, those of other spaces with the
 * same credentials included: two handshakes on one connection spoil each other, and two attempts with
 * a wrong password are one too many.
 */
export class ProtectionSpace {
  readonly #means: AuthMeans;
  readonly #peer: Peer;
  readonly #verdicts: Verdicts;
  readonly #mutex = new Mutex();
  #scheme: AuthScheme | undefined;
  /** Of a scheme that is not bound to connections. */
  #run: Run | undefined;
  #runs = new WeakMap<WireConnection, Run>();
  #latest: WireConnection | undefined;
  #proofs = 0;
  readonly #unusable = new Map<AuthScheme, BitsError>();
  /** What is accepted here is not stopped by a refusal elsewhere, as of a directory without rights. */
  #isAccepted = false;

  constructor(means: AuthMeans, peer: Peer, verdicts: Verdicts = processVerdicts) {
    this.#means = means;
    this.#peer = peer;
    this.#verdicts = verdicts;
    this.#begin(undefined);
  }

  /**
   * Sends a request, and again in answer to challenges, until it is accepted.
   *
   * @throws BITS_ERR_AUTH when credentials are missing or refused, or no offer can be answered; what
   * `send` throws
   */
  async send(request: ProtectedRequest): Promise<WireResponse> {
    const trial = new Trial(this.#peer, this.#verdicts);
    let release: (() => void) | undefined;
    try {
      let challenged: Challenged | undefined;
      if (!this.#needsMutex) {
        const first = await this.#attempt(request, undefined, trial);
        if (first.challenged === undefined) return first.answer;
        challenged = first.challenged;
      }
      release = await this.#mutex.acquire(request.signal);
      for (let attempts = 0; attempts < MAX_ATTEMPTS; attempts++) {
        const next = await this.#attempt(request, challenged, trial);
        if (next.challenged === undefined && !next.isHandshake) return next.answer;
        challenged = next.challenged;
      }
    } finally {
      trial.end();
      release?.();
    }
    throw authSetupError(
      `${this.#peer.title} keeps requiring authentication: check that neither it nor a proxy in between closes the connection after each answer, because NTLM and Negotiate need it open`,
      { retryable: true },
    );
  }

  get #needsMutex(): boolean {
    if (this.#scheme === undefined) return false;
    return this.#scheme.connectionBound || !this.#run?.isProven;
  }

  async #attempt(
    request: ProtectedRequest,
    before: Challenged | undefined,
    trial: Trial,
  ): Promise<{ answer: WireResponse; challenged: Challenged | undefined; isHandshake: boolean }> {
    const attempt = await this.#prepare(request, before, trial);
    const { isHandshake } = attempt;
    const sentAtMs = performance.now();
    const answer = await request.send(attempt.headers, isHandshake);
    const isAccepted = answer.status !== (this.#peer.isProxy ? 407 : 401);
    const { headers, connection } = answer;
    const field = this.#peer.isProxy ? 'proxy-authenticate' : 'www-authenticate';
    const offers = isAccepted ? [] : parseChallenges(headers[field]);
    // Of what goes without saying, the answer to the packet tells.
    const isProven = attempt.run === undefined || attempt.run.isProven;
    if (ROUNDS.hasSubscribers && !(isAccepted && isProven)) {
      const elapsedMs = Math.round(performance.now() - sentAtMs);
      ROUNDS.publish(this.#describe(request, attempt, answer, offers, elapsedMs));
    }
    if (!isAccepted) await drain(answer.body);
    this.#answered(attempt, answer, isAccepted);
    if (isAccepted) return { answer, challenged: undefined, isHandshake };
    return { answer, challenged: { attempt, offers, connection }, isHandshake };
  }

  /** Of what is sent and offered, only the names of the schemes: the rest is secret, or a proof. */
  #describe(
    { method, target }: ProtectedRequest,
    attempt: Attempt,
    answer: WireResponse,
    offers: readonly Challenge[],
    elapsedMs: number,
  ): object {
    const [authorization] = Object.values(attempt.headers);
    return {
      peer: this.#peer.title,
      method,
      target: target.replace(/\?.*/s, '?…'),
      isHandshake: attempt.isHandshake,
      scheme: authorization?.replace(/\s.*/s, ''),
      status: answer.status,
      offers: offers.map(({ scheme }) => scheme),
      keepsConnection: staysOpen(answer),
      elapsedMs,
    };
  }

  /** Finds what to send with a request, in answer to a challenge if there was one. */
  async #prepare(
    request: ProtectedRequest,
    before: Challenged | undefined,
    trial: Trial,
  ): Promise<Attempt> {
    const { method, target, hasBody, signal } = request;
    await this.#checkRefusal(signal);
    // When another request has been accepted meanwhile, so will this one.
    const challenged = before?.attempt.proofs === this.#proofs ? before : undefined;
    if (challenged?.attempt.run) challenged.attempt.run.isProven = false;
    const peerCertificate = this.#peer.isSecure
      ? challenged?.connection?.peerCertificate
      : undefined;
    for (;;) {
      const scheme = challenged ? this.#choose(challenged) : this.#scheme;
      if (scheme === undefined) return this.#plainAttempt();
      const expected = scheme.connectionBound ? this.#openConnection : undefined;
      const run = this.#runOf(scheme, expected);
      // Over a connection that is not proven, a body would be sent in vain.
      const isHandshake = hasBody && scheme.connectionBound && !run.isProven;
      const authRequest = { peer: this.#peer, method, target, peerCertificate, signal };
      const step = await run.state.authorize(authRequest, challenged?.offers);
      if (step.type === 'refused') throw this.#refuse(run);
      if (step.type === 'nothing') return { ...this.#plainAttempt(), isHandshake, run, expected };
      if (step.type === 'send') {
        if (step.secret !== undefined && !this.#isAccepted)
          await this.#try(step.secret, trial, signal);
        run.secret = step.secret ?? run.secret;
        if (scheme.connectionBound) run.isProven = false;
        const name = this.#peer.isProxy ? 'Proxy-Authorization' : 'Authorization';
        const headers = { [name]: step.value };
        return { headers, isHandshake, run, expected, proofs: this.#proofs };
      }
      this.#unusable.set(scheme, step.reason);
      this.#begin(undefined);
      // The answer to a request without it tells what else there is to choose from.
      if (challenged === undefined) return this.#plainAttempt();
    }
  }

  #plainAttempt(): Attempt {
    const proofs = this.#proofs;
    return { headers: {}, isHandshake: false, run: undefined, expected: undefined, proofs };
  }

  #answered(attempt: Attempt, answer: WireResponse, isAccepted: boolean): void {
    const { run, expected } = attempt;
    const { connection, headers } = answer;
    this.#latest = staysOpen(answer) ? connection : undefined;
    if (run === undefined) return;
    if (run.scheme.connectionBound) {
      if (connection === undefined || isElsewhere(attempt, connection)) return;
      if (expected === undefined) this.#runs.set(connection, run);
    }
    if (!isAccepted) return;
    run.state.accepted(headers);
    const { secret } = run;
    run.secret = undefined;
    if (run.isProven) return;
    if (secret !== undefined) {
      this.#verdicts.set(this.#peer, secret, 'accepted');
      this.#isAccepted = true;
    }
    run.isProven = true;
    this.#proofs++;
  }

  #choose({ attempt, offers, connection }: Challenged): AuthScheme {
    const current = this.#scheme;
    if (current?.strength(offers) !== undefined) return current;
    const { run } = attempt;
    // What went over another connection than it was meant for, or unasked to a peer that does not
    // accept the scheme, has been judged by nobody.
    const isJudged = run?.secret !== undefined && !run.scheme.eager;
    if (isJudged && !(run.scheme.connectionBound && isElsewhere(attempt, connection))) {
      throw this.#refuse(run);
    }
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

  get #openConnection(): WireConnection | undefined {
    return this.#latest?.isOpen ? this.#latest : undefined;
  }

  #begin(scheme: AuthScheme | undefined): void {
    this.#scheme = scheme ?? this.#means.schemes.find((one) => one.eager);
    this.#run = undefined;
    this.#runs = new WeakMap();
  }

  async #checkRefusal(signal: AbortSignal | undefined): Promise<void> {
    if (this.#isAccepted || !this.#verdicts.hasRefusals(this.#peer)) return;
    const secret = await this.#means.secret?.text(signal);
    if (secret === undefined || this.#verdicts.of(this.#peer, secret) !== 'refused') return;
    // A function may give others by now.
    this.#means.secret?.forget(secret);
    throw refusedBefore(this.#peer);
  }

  async #try(secret: string, trial: Trial, signal: AbortSignal | undefined): Promise<void> {
    try {
      await trial.begin(secret, signal);
    } catch (error) {
      // The state of the run counts on what is not sent after all.
      this.#begin(undefined);
      throw error;
    }
  }

  #refuse({ scheme, secret }: Run): BitsError {
    this.#isAccepted = false;
    if (secret !== undefined) {
      this.#verdicts.set(this.#peer, secret, 'refused');
      this.#means.secret?.forget(secret);
    }
    this.#begin(undefined);
    return credentialsRefused(this.#peer, scheme.title);
  }

  #noOffer(offers: readonly Challenge[], able: AuthScheme | undefined): BitsError {
    const reason = [...this.#unusable.values()].at(-1);
    if (reason !== undefined) return reason;
    if (able !== undefined) return unboundConnection(this.#peer, able);
    return noUsableOffer(this.#peer, offers, this.#means.schemes);
  }
}

function newRun(scheme: AuthScheme): Run {
  return { scheme, state: scheme.begin(), secret: undefined, isProven: false };
}

function isElsewhere({ expected }: Attempt, connection: WireConnection | undefined): boolean {
  return expected !== undefined && expected !== connection;
}

function staysOpen({ connection, headers }: WireResponse): boolean {
  return connection?.isOpen === true && !/\bclose\b/i.test(headers.connection ?? '');
}
