#!/usr/bin/env node
import { VERSION } from '../version.js';

const args = process.argv.slice(2);

if (args.length === 1 && (args[0] === '--version' || args[0] === '-V')) {
  // Before anything else is loaded: scripts ask for it often.
  process.stdout.write(`${VERSION}\n`);
} else {
  const { runProcess } = await import('./run-process.js');
  await runProcess(args);
}
