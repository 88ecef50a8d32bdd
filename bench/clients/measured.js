import { readFileSync } from 'node:fs';

/**
 * Runs a client with the options of the command line and prints what it took, as one line of JSON.
 *
 * CPU and memory are those of the whole process, start-up included; time is that of the upload.
 */
export async function measured(upload) {
  const options = JSON.parse(process.argv[2]);
  const startMs = performance.now();
  const more = await upload(options);
  const wallMs = performance.now() - startMs;
  const cpu = process.cpuUsage();
  const result = {
    wallMs,
    cpuMs: (cpu.user + cpu.system) / 1000,
    peakBytes: peakBytes(),
    ...more,
  };
  console.log(JSON.stringify(result));
}

function peakBytes() {
  try {
    // maxRSS starts with what the parent had when it forked.
    const [, kib] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
    return Number(kib) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}
