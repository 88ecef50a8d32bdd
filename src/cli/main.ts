#!/usr/bin/env node
import { setFlagsFromString } from 'node:v8';
import { VERSION } from '../version.js';

const args = process.argv.slice(2);

if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
  // Before anything else is loaded: scripts often ask for it.
  process.stdout.write(`${VERSION}\n`);
} else {
  // V8 would optimize the HTTP parser of undici (WebAssembly) after the third answer, and the process
  // would wait 150 ms for that at its end. Now only long transfers are worth it.
  try {
    setFlagsFromString('--wasm-tiering-budget=100000000');
  } catch {
    // Another engine than V8.
  }
  // No `await` here: a bundle in CommonJS could not have it.
  void import('./program.js').then(({ runProcess }) => runProcess(args));
}
