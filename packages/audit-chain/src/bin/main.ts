#!/usr/bin/env node
import { run } from './command.ts';

// Who reads may stop reading, as `head` does.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});
process.exitCode = await run(process.argv.slice(2), process);
