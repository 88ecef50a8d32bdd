import { type DiagnoseOptions, type DiagnosisPlan, planDiagnosis } from './options.js';
import { Reach } from './reach.js';
import { type DiagnosisStep, type DiagnosisStepName, type Finding, skipped } from './step.js';
import { Talk } from './talk.js';

/**
 * Checks the way of an upload step by step, and says in plain words which step fails and what to check
 * there: DNS, TCP, proxy, TLS, authentication, Ping ([MC-BUP] §2.2.4), and with `probe` Create-Session
 * and Cancel-Session.
 *
 * Nothing is uploaded, and nothing stays on the server. After a failure the remaining steps are
 * reported as skipped. A failed step is a value: iterating rejects only with BITS_ERR_ABORTED when the
 * signal aborts. Each iteration is a new diagnosis.
 * @throws BITS_ERR_ARGUMENT for options that cannot work
 */
export function diagnose(options: DiagnoseOptions): AsyncIterable<DiagnosisStep> {
  const plan = planDiagnosis(options);
  return { [Symbol.asyncIterator]: () => steps(plan) };
}

async function* steps(plan: DiagnosisPlan): AsyncGenerator<DiagnosisStep, void, undefined> {
  const talk = new Talk(plan);
  const reach = new Reach(plan);
  let failed: DiagnosisStepName | undefined;
  try {
    for (const [step, examine] of stepsOf(reach, talk, plan.probe)) {
      const finding: Finding =
        failed === undefined ? await timed(examine) : skipped(`not checked: ${failed} failed`);
      if (finding.ok === false) failed ??= step;
      const { ok, durationMs = 0, ...said } = finding;
      yield { step, ok, durationMs: Math.round(durationMs), ...said };
    }
  } finally {
    await talk.close();
  }
}

type Examine = () => Promise<Finding>;

function stepsOf(reach: Reach, talk: Talk, probe: boolean): [DiagnosisStepName, Examine][] {
  const steps: [DiagnosisStepName, Examine][] = [
    ['dns', () => reach.dns()],
    ['tcp', () => reach.tcp()],
    ['proxy', () => reach.proxy(() => talk.proxyVerdict())],
    ['tls', () => reach.tls()],
    ['auth', () => talk.auth(() => reach.wantsClientCertificate())],
    ['ping', () => talk.ping()],
  ];
  if (probe) steps.push(['create', () => talk.create()], ['cancel', () => talk.cancel()]);
  return steps;
}

async function timed(examine: Examine): Promise<Finding> {
  const startedMs = performance.now();
  const finding = await examine();
  return { durationMs: performance.now() - startedMs, ...finding };
}
